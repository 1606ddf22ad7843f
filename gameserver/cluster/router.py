"""Where a message goes: to the actor's owner. On one node that is always the local catalog."""

from gameserver.actors.catalog import Catalog
from gameserver.actors.messages import Message


class Router:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def send(self, message: Message) -> None:
        """Deliver, without waiting. The message's reply is called exactly once, also if this node cannot take it."""
        self._catalog.deliver(message)
