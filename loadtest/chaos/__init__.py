"""Real nodes and servers that are killed, frozen, cut off and drained under play; and the proof of what came of it."""
