"""What nodes say to each other. How it travels stands in wire.py."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from attrs import field, frozen

from gameserver.actors.messages import Birth
from gameserver.actors.ports import Answer, Committed
from gameserver.game.battle import Finished
from gameserver.game.rules import Joined
from gameserver.ids import Identity


def _all(said: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(said)


def _pairs(said: Iterable[Iterable[Any]]) -> tuple[tuple[Any, Any], ...]:
    return tuple((first, second) for first, second in said)


@frozen
class Request:
    """A message for an actor of the receiver, or of a node that it knows of.

    The answer goes to `origin`, under its `number`; without one nobody waits for it. `hops` counts the nodes that this
    has been sent to. `named`: the receiver is the owner, as the journal says, or the owner that gives the actor to it.
    `expires_at_ms` is wall-clock time as PostgreSQL keeps it: nodes share no other clock.
    """

    origin: str
    number: int
    hops: int
    named: bool
    expires_at_ms: int
    watching: bool
    actor_id: str
    command: Any
    identity: Identity | None
    birth: Birth | None


@frozen
class Response:
    number: int
    answer: Answer


@frozen
class Events:
    """A commit of a watched battle, from its owner; without lines: the battle is at `first_seq - 1`.

    `joined` are the (seq, player) of those who took a seat; `finished` says that these are the battle's last events.
    """

    battle_id: str
    first_seq: int
    lines: tuple[bytes, ...] = field(default=(), converter=_all)
    joined: tuple[tuple[int, str], ...] = field(default=(), converter=_pairs)
    finished: bool = False

    @classmethod
    def of(cls, batch: Committed) -> Self:
        events = tuple(enumerate(batch.events, batch.first_seq))
        joined = [(seq, event.player_id) for seq, event in events if type(event) is Joined]
        finished = any(type(event) is Finished for _, event in events)
        return cls(batch.actor_id, batch.first_seq, batch.lines, joined, finished)

    @property
    def seq(self) -> int:
        return self.first_seq + len(self.lines) - 1


@frozen
class Watching:
    """What the sender watches, and goes on to watch; up to where it has seen it: (battle ID, seq)."""

    seen: tuple[tuple[str, int], ...] = field(converter=_pairs)


@frozen
class NotHere:
    """Of what was to be renewed, the receiver does not have these in memory."""

    battle_ids: tuple[str, ...] = field(converter=_all)


@frozen
class Activated:
    """To everybody: the sender owns this battle from now on, which is at `seq`."""

    battle_id: str
    seq: int


@frozen
class Look:
    """To everybody: the sender's announcement has changed, look at the directory."""


@frozen
class Missed:
    """To everybody: the sender was cut off from the bus; whatever was said to it until now, it may not have heard."""


@frozen
class Goodbye:
    """To everybody: this incarnation of the sender has handed over its actors, and is gone."""

    incarnation: str


@frozen
class DrainAsked:
    """To the node that shall be drained."""


@frozen
class OutboxFilled:
    """To the node that reads the outbox: there are new rows."""


@frozen
class BattleCreated:
    """To everybody: tell the connected members of these groups."""

    battle_id: str
    groups: tuple[str, ...] = field(converter=_all)
    payload: Mapping[str, Any]


@frozen
class PlayerJoined:
    """To everybody: the player's connections get the battle's events, from this one on."""

    battle_id: str
    player_id: str
    seq: int


@frozen
class LoginRevoked:
    """To everybody: close the connections that were opened under this login."""

    session_id: str


@frozen
class PlayerDisconnected:
    """To everybody: close all connections of this player."""

    player_id: str


Item = (
    Request
    | Response
    | Events
    | Watching
    | NotHere
    | Activated
    | Look
    | Missed
    | Goodbye
    | DrainAsked
    | OutboxFilled
    | BattleCreated
    | PlayerJoined
    | LoginRevoked
    | PlayerDisconnected
)
