"""What nodes say to each other. How it travels stands in wire.py; what is encoded stands here, field by field."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Self

from msgspec import Struct

from gameserver.actors.messages import Birth, Inspect, Play, Show, Wake
from gameserver.actors.ports import Accepted, Answer, Committed, Shown
from gameserver.codec import structure, unstructure
from gameserver.errors import Refused
from gameserver.game import commands
from gameserver.game.battle import Finished
from gameserver.game.machine import IntentionSettled
from gameserver.game.rules import Joined
from gameserver.ids import CommandId, IdempotencyKey


class _Said(Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """On the wire an array: the name of its class, then its fields."""


# -- to an actor ----------------------------------------------------------------------------------------------------

_OTHERS: Final[Mapping[str, type]] = {
    cls.__name__: cls
    for cls in (
        Show,
        Inspect,
        Wake,
        IntentionSettled,
        commands.CreateBattle,
        commands.Join,
        commands.Begin,
        commands.Finish,
        commands.CreateGroup,
        commands.JoinGroup,
        commands.LeaveGroup,
        commands.IntendBattle,
        commands.OpenBattle,
        commands.CloseBattle,
    )
}


class Other(_Said, frozen=True, dict=True):
    """A command that is not a mode's, by its name. They are a closed union: what is not in the table is not taken."""

    name: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, command: Any) -> Self:
        return cls(type(command).__name__, unstructure(command))

    def __post_init__(self) -> None:
        """Raises LookupError, Refused."""
        self.command  # noqa: B018 - made when it is heard, so that what cannot be made is not taken

    @cached_property
    def command(self) -> Any:
        return structure(self.fields, _OTHERS[self.name])


class Request(_Said, frozen=True):
    """A message for an actor of the receiver, or of a node that it knows of; `said` is its command.

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
    said: Play | Other
    identity: CommandId | IdempotencyKey | None
    birth: Birth | None

    @property
    def command(self) -> Any:
        return self.said.command if isinstance(self.said, Other) else self.said


class Refusal(_Said, frozen=True):
    """What there is to say of a Refused."""

    code: str
    message: str
    retry_after_ms: int | None
    websocket_url: str | None

    @classmethod
    def of(cls, error: Exception) -> Self:
        refused = error if isinstance(error, Refused) else Refused("internal")
        return cls(refused.code, refused.message, refused.retry_after_ms, refused.websocket_url)

    def refused(self) -> Refused:
        return Refused(self.code, self.message, retry_after_ms=self.retry_after_ms, websocket_url=self.websocket_url)


class Response(_Said, frozen=True):
    """`said` is the answer to the request of this number."""

    number: int
    said: Accepted | Shown | Refusal

    @classmethod
    def of(cls, number: int, answer: Answer) -> Self:
        return cls(number, Refusal.of(answer) if isinstance(answer, Exception) else answer)

    @property
    def answer(self) -> Answer:
        return self.said.refused() if isinstance(self.said, Refusal) else self.said


# -- about battles that are watched ---------------------------------------------------------------------------------


class Events(_Said, frozen=True):
    """A commit of a watched battle, from its owner; without lines: the battle is at `first_seq - 1`.

    `lines` are the very bytes that the journal holds, `joined` the (seq, player) of those who took a seat; `finished`
    says that these are the battle's last events.
    """

    battle_id: str
    first_seq: int
    lines: tuple[bytes, ...] = ()
    joined: tuple[tuple[int, str], ...] = ()
    finished: bool = False

    @classmethod
    def of(cls, batch: Committed) -> Self:
        if not batch.milestones:
            return cls(batch.actor_id, batch.first_seq, tuple(batch.lines))
        joined = tuple([(seq, event.player_id) for seq, event in batch.milestones if type(event) is Joined])
        finished = any(type(event) is Finished for _, event in batch.milestones)
        return cls(batch.actor_id, batch.first_seq, tuple(batch.lines), joined, finished)

    @property
    def seq(self) -> int:
        return self.first_seq + len(self.lines) - 1


class Watching(_Said, frozen=True):
    """What the sender watches, and goes on to watch; up to where it has seen it: (battle ID, seq)."""

    seen: tuple[tuple[str, int], ...]


class NotHere(_Said, frozen=True):
    """Of what was to be renewed, the receiver does not have these in memory."""

    battle_ids: tuple[str, ...]


class Activated(_Said, frozen=True):
    """To everybody: the sender owns this battle from now on, which is at `seq`."""

    battle_id: str
    seq: int


# -- about the cluster and its players ------------------------------------------------------------------------------


class Look(_Said, frozen=True):
    """To everybody: the sender's announcement has changed, look at the directory."""


class Missed(_Said, frozen=True):
    """To everybody: the sender was cut off from the bus; whatever was said to it until now, it may not have heard."""


class Goodbye(_Said, frozen=True):
    """To everybody: this incarnation of the sender has handed over its actors, and is gone."""

    incarnation: str


class DrainAsked(_Said, frozen=True):
    """To the node that shall be drained."""


class OutboxFilled(_Said, frozen=True):
    """To the node that reads the outbox: there are new rows."""


class BattleCreated(_Said, frozen=True):
    """To everybody: tell the connected members of these groups."""

    battle_id: str
    groups: tuple[str, ...]
    payload: dict[str, Any]


class PlayerJoined(_Said, frozen=True):
    """To everybody: the player's connections get the battle's events, from this one on."""

    battle_id: str
    player_id: str
    seq: int


class LoginRevoked(_Said, frozen=True):
    """To everybody: close the connections that were opened under this login."""

    session_id: str


class PlayerDisconnected(_Said, frozen=True):
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
