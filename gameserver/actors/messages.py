"""What is put into an actor's mailbox."""

from collections.abc import Callable
from typing import Any

from attrs import frozen
from msgspec import Struct

from gameserver.actors.ports import Answer, Reply
from gameserver.ids import Identity


class Play(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A command of the battle's mode, by its name on the wire. The payload stays bytes until its owner, who knows the
    mode, structures it; `player_id` is the proven identity of the sender."""

    name: str
    payload: bytes
    player_id: str


@frozen
class Show:
    """A read: the answer is `Shown` with the actor's view, and leaves with the commit that covers what it shows.

    With a `kind`, an actor of another kind counts as not found.
    """

    kind: str | None = None


@frozen
class Inspect:
    """A read for operators: state, seq, epoch and what is in flight."""


@frozen
class Wake:
    """From the alarms or the waker: a timer may be due, or an intention waits to be sent again."""


@frozen
class Passivate:
    """From the catalog: leave memory, if nothing is in flight.

    `at_once`: take no message after this one, and leave as soon as what is in flight has landed.
    """

    at_once: bool = False


@frozen
class Birth:
    """How to create the actor if there is none under the ID yet."""

    kind: str
    mode: str = ""


class Message(Struct, eq=False):
    """`command` is one of game/commands.py or of the classes above. `expires_at` is a time of Trio's clock: afterwards
    the command is refused instead of run. A message without `identity` must be harmless to repeat. With `watching` the
    sender's node shall get the events that follow an answer."""

    actor_id: str
    command: Any
    reply: Reply
    expires_at: float
    identity: Identity | None = None
    birth: Birth | None = None
    watching: bool = False


Send = Callable[[Message], None]
"""Hands a message to the owner of its actor, without waiting; its reply is called exactly once in any case."""


def ignore(_: Answer) -> None:
    """The reply of messages that nobody waits for."""


def internal(actor_id: str, command: Wake | Passivate) -> Message:
    """From the node itself: nobody waits for an answer, and it never expires."""
    return Message(actor_id, command, ignore, expires_at=float("inf"))
