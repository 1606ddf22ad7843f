"""Where an actor without a live owner shall come to life: rendezvous hashing over the nodes that may own actors.

Every node ranks all candidates by a hash of (node, actor) and takes the highest. Views that agree on the candidates
agree on the place without a word; and when a node comes or goes only the actors that it wins or loses move.
Source: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996.
"""

from collections.abc import Iterable
from hashlib import blake2b


def place(actor_id: str, candidates: Iterable[str]) -> str | None:
    """The winner among the nodes' names; None without candidates."""
    return max(candidates, key=lambda name: (_weight(name, actor_id), name), default=None)


def _weight(name: str, actor_id: str) -> bytes:
    return blake2b(f"{name}\x1f{actor_id}".encode(), digest_size=8).digest()
