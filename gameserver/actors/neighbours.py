"""The other nodes, as the catalog needs them; and how it is without any."""

from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from gameserver.actors.messages import Message
from gameserver.actors.ports import Sleeper
from gameserver.errors import Refused


class Neighbours(Protocol):
    """Called on the Trio thread; never blocks and never raises. A message that is passed on gets its reply."""

    def send(self, message: Message) -> None:
        """From an actor of this node to any actor."""
        ...

    def pass_on(self, message: Message, owner: str) -> None:
        """The actor belongs to another node."""
        ...

    def pass_on_to_who_knows(self, message: Message, rules: str) -> None:
        """The actor runs under rules ("kind/mode/version") that are unknown here."""
        ...

    def belongs_here(self, sleeper: Sleeper, now_ms: int) -> bool:
        """Whether this node shall wake it."""
        ...


@frozen
class Alone:
    send: Callable[[Message], None]

    def pass_on(self, message: Message, owner: str) -> None:
        message.reply(Refused("owner_unreachable", f"{owner} owns it and cannot be reached."))

    def pass_on_to_who_knows(self, message: Message, rules: str) -> None:
        message.reply(Refused("rules_version_unknown", f"{rules} is not known here"))

    def belongs_here(self, sleeper: Sleeper, now_ms: int) -> bool:
        return True
