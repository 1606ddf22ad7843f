"""What actors need from the world outside: a journal, a clock, and somebody to tell what has been committed.

The contract of every adapter is the docstring here; `tests/contracts/` holds each of them to it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from attrs import field, frozen
from msgspec import Struct

from gameserver.turns import Walk


@frozen
class Activation:
    """The right to write an actor's journal: valid until another activation raises the epoch."""

    actor_id: str
    kind: str
    mode: str
    rules_version: int
    seed: str
    epoch: int
    last_seq: int


@frozen
class Snapshot:
    seq: int
    rules_version: int
    state: bytes


class JournalRow(Struct, frozen=True, gc=False):
    """What one commit wrote for one actor: the events `first_seq` to `seq`.

    `public` holds an event per line, as clients get it; `private` and `outcomes` are JSON arrays, empty bytes if
    there is nothing in them.
    """

    first_seq: int
    seq: int
    rules_version: int
    outcomes: bytes
    public: bytes
    private: bytes


@frozen
class History:
    """What an actor is restored from: the last snapshot, if any, and all rows after it, in order."""

    snapshot: Snapshot | None
    rows: Sequence[JournalRow]


@frozen
class Projection:
    """A whole row of a table that follows from events: inserted, or replaced under its primary key.

    `table` is one of those that the commit statement knows; `key` the values of its primary key.
    """

    table: str
    key: tuple[str, ...]
    row: Mapping[str, Any]


@frozen
class OutboxRow:
    """News for a consumer, written by the commit itself. `payload` is JSON-ready data."""

    topic: str
    seq: int
    payload: Mapping[str, Any]


@frozen
class KeyRow:
    """The outcome of a request under an Idempotency-Key: `answer` is the public event that it caused."""

    player_id: str
    key: str
    request_hash: str
    seq: int
    answer: bytes


class Entry(Struct, frozen=True, gc=False):
    """What one commit shall write for one actor; it lands as a whole or not at all.

    It lands only if the actor's row still has this `epoch` and its `last_seq` is still `row.first_seq - 1`.
    """

    actor_id: str
    epoch: int
    row: JournalRow
    wake_at_ms: int | None
    projections: Sequence[Projection] = ()
    outbox: Sequence[OutboxRow] = ()
    keys: Sequence[KeyRow] = ()


@frozen
class Sleeper:
    """An actor with a timer that lives nowhere, and has to. `rules` is "kind/mode/version"; `owner` and `incarnation`
    name the process that had it, who asks or one that is gone, unless it was released."""

    actor_id: str
    wake_at_ms: int
    rules: str
    owner: str | None = None
    incarnation: str = ""


class Journal(Protocol):
    """The only truth. Every method has its own deadline, and may raise StorageUnavailable besides what it names."""

    async def create(self, actor_id: str, kind: str, mode: str, rules_version: int) -> Activation:
        """Insert the actor unless it exists, with a fresh secret seed; then the same as `activate`."""
        ...

    async def activate(self, actor_id: str) -> Activation:
        """Raise the epoch and take ownership, in one statement; any statement under an older epoch is fenced or
        has landed by then.

        It goes to who asks if it is released, his own, or of a process without a live lease.
        Raises ActorNotFound, ActorSetAside, OwnedElsewhere (a live lease of another node), LeaseLost (our own).
        """
        ...

    async def load(self, actor_id: str) -> History: ...

    async def read(self, actor_id: str, after: int, up_to: int, limit: int) -> Sequence[JournalRow] | None:
        """The rows that hold the events `after + 1` to `up_to`, in order; the first and last may hold more.

        None if not all of them are there any more (retention), or if they are more than `limit` events.
        """
        ...

    async def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """Write everything in one statement; at most one entry per actor.

        Gives the IDs of those that landed; the others were overtaken by another epoch or have a hole before them.
        Raises CommitRejected (nothing of it took effect), StorageUnavailable (nothing was sent), OutcomeUnknown.
        """
        ...

    async def save_snapshot(self, actor_id: str, epoch: int, snapshot: Snapshot) -> None:
        """Replace the actor's snapshot if `epoch` is still its epoch, all that it holds is durable (`last_seq`), and it
        is newer; else do nothing."""
        ...

    async def release(self, actor_id: str, epoch: int) -> None:
        """Give up ownership if `epoch` is still the actor's; whoever wants the actor next may take it."""
        ...

    async def set_aside(self, actor_id: str, epoch: int, reason: str) -> None:
        """Let nobody activate the actor until `let_back`; it no longer wakes."""
        ...

    async def let_back(self, actor_id: str) -> bool:
        """Undo `set_aside`; False if the actor was not set aside."""
        ...

    async def sleepers(
        self, now_ms: int, rules: Sequence[str], limit: int, after: Sleeper | None = None
    ) -> Sequence[Sleeper]:
        """Actors to be woken that this node may activate: those with a timer due by `now_ms` which were released, or
        are its own; and those with any timer, due or not, of a process whose lease has run out, or that has been
        followed by another of its name. Of those only the ones that run under one of these rules; in the order of their
        timers, each once, and those that follow `after` in it."""
        ...


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since the epoch, by PostgreSQL's clock."""
        ...


class Committed(Struct, frozen=True):
    """What has become durable of one actor and may now be seen, in order.

    `lines` are the public bytes of the events `first_seq` to `seq`, encoded once for the journal and everybody.
    `milestones` are those of the events, each with its seq, that concern also who does not watch (see game/battle.py).
    """

    actor_id: str
    kind: str
    epoch: int
    first_seq: int
    lines: Sequence[bytes] = ()
    milestones: Sequence[tuple[int, Any]] = ()

    @property
    def seq(self) -> int:
        return self.first_seq + len(self.lines) - 1


class Audience(Protocol):
    """Those who watch. Told on the Trio thread, after the commit, in walks (see turns.py), which never raise.

    No walk over a commit begins before the one over the commit before has ended. But others have their turns on the
    way: watchers come and go, clients speak, and an actor that has been restored may be announced.
    """

    def begin(self) -> None:
        """A commit is handed over from now on: what is queued until `flush` leaves with it, and not before."""
        ...

    def committed(self, batch: Committed) -> Walk:
        """Batches of an actor come in order, but what landed unbeknown to us is missing. After each activation comes
        one without lines, which says how far the actor has come."""
        ...

    def flush(self) -> Walk:
        """Everything of one commit has been handed over: send it, once per connection."""
        ...


class Accepted(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """The command has taken effect, at `seq`; `event` is the public event, if it is still at hand."""

    seq: int
    event: bytes | None = None
    view: ClassVar[None] = None
    """Nothing is shown; see `Shown`."""


@frozen
class Shown:
    """The answer to a read: the state at `seq`, in the form that was asked for."""

    seq: int
    view: Any = field(repr=False)


Answer = Accepted | Shown | Exception
"""An Exception is a Refused; it is handed over, not raised."""

Reply = Callable[[Answer], None]
"""Called exactly once, on the Trio thread, when the answer is durable. Never blocks, never raises."""
