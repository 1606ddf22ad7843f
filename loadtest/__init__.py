"""Simulated players against a running game, and the proof that nothing of what they did was lost or doubled."""
