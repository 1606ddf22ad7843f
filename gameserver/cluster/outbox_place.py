"""Which node reads the outbox: the one on which placement puts it, so that each row is seen once, and by one node."""

from collections.abc import Callable
from typing import Final

from gameserver.cluster.items import OutboxFilled
from gameserver.cluster.links import Links
from gameserver.cluster.owners import Owners

OUTBOX: Final = "outbox"


class OutboxPlace:
    """While views differ the outbox may be read by two nodes or by none: rows are seen twice then, or later."""

    def __init__(self, owners: Owners, links: Links) -> None:
        self._owners, self._links = owners, links

    def is_here(self) -> bool:
        return self._owners.place(OUTBOX) == self._owners.here

    def on_filled(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when another node has filled it."""
        self._links.on(OutboxFilled, lambda _sender, _filled: wake())

    def tell(self, wake: Callable[[], None]) -> None:
        """There are new rows: `wake` who reads them here, or tell the node that does."""
        node = self._owners.place(OUTBOX)
        if node == self._owners.here:
            wake()
        elif node is not None:
            self._links.send(node, OutboxFilled())
