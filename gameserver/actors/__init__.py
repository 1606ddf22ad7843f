"""Actors: supervised Trio tasks that own the state of battles and groups, and the group commit that makes it last."""
