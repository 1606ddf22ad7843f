"""The game itself, pure: modes, battles and groups as state machines without I/O, clock or tasks."""
