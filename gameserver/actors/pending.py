"""What one actor has decided and is not durable yet: events to be written, and everybody who waits for that."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct, field

from gameserver.actors.outcomes import row_of
from gameserver.actors.ports import (
    Answer,
    Committed,
    Entry,
    JournalRow,
    KeyRow,
    OutboxRow,
    Projection,
    Reply,
    Snapshot,
)
from gameserver.actors.projections import PROJECTIONS
from gameserver.codec import encode
from gameserver.game.battle import MILESTONES
from gameserver.game.machine import Intention
from gameserver.ids import IdempotencyKey, Identity

log = structlog.get_logger()

ANSWERED_AT_ONCE: Final = 16


class Writer(Protocol):
    """What the committer needs of an actor."""

    id: str
    epoch: int
    kind: str
    rules_version: int

    @property
    def seq(self) -> int: ...

    def wake_at_ms(self) -> int | None: ...

    def abandon(self) -> None: ...

    def on_committed(self, pending: "Pending") -> None: ...


class Attached(Struct, eq=False):
    """What hangs on events besides their lines."""

    private: list[bytes] = field(default_factory=list)
    milestones: list[tuple[int, Any]] = field(default_factory=list)
    projections: dict[tuple[str, ...], Projection] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)
    keys: list[KeyRow] = field(default_factory=list)
    intentions: list[Intention] = field(default_factory=list)

    def add_rows(self, seq: int, event: Any, state: Any) -> None:
        """What follows from an event that is more than play, given the state right after it."""
        if type(event) in MILESTONES:
            self.milestones.append((seq, event))
        for row in PROJECTIONS[type(event)](state, event, seq):
            if isinstance(row, OutboxRow):
                self.outbox.append(row)
            else:
                self.projections[row.table, *row.key] = row

    def rows(self) -> tuple[Sequence[Projection], Sequence[OutboxRow], Sequence[KeyRow]]:
        """As an entry has them."""
        return tuple(self.projections.values()), self.outbox, self.keys


class Pending(Struct, eq=False):
    """Grows turn by turn until the committer takes it; then it lands, or is dropped, as a whole.

    Without events it only waits for those of its actor that are on their way, and is answered after them. There is one
    per actor and commit, so it is small: what most events of play do not have is `attached` with the first that has.
    """

    actor: Writer
    first_seq: int
    lines: list[bytes] = field(default_factory=list)
    outcomes: list[list[str | int]] = field(default_factory=list)
    replies: list[tuple[Reply, Answer]] = field(default_factory=list)
    attached: Attached | None = None
    snapshot: Snapshot | None = None
    counted: int = 0
    """Of its events, those that the committer counts among the waiting."""
    _told: int = 0
    """Of its replies, those that have been called."""
    _entry: Entry | None = None

    def attach(self) -> Attached:
        """To be added to."""
        if self.attached is None:
            self.attached = Attached()
        return self.attached

    def add_outcome(self, identity: Identity, seq: int, line: bytes) -> None:
        self.outcomes.append(row_of(identity, seq))
        if isinstance(identity, IdempotencyKey):
            self.attach().keys.append(KeyRow(identity.player, identity.key, identity.request_hash, seq, line))

    @property
    def entry(self) -> Entry:
        assert self._entry is not None, "the pending has not been taken"
        return self._entry

    def make_entry(self) -> None:
        """Once, in the step that takes the pending: the actor goes on, and its next timer may be another one then."""
        actor, lines, attached = self.actor, self.lines, self.attached
        row = JournalRow(
            first_seq=self.first_seq,
            seq=self.first_seq + len(lines) - 1,
            rules_version=actor.rules_version,
            outcomes=encode(self.outcomes) if self.outcomes else b"",
            public=b"\n".join(lines),
            private=b"[" + b",".join(attached.private) + b"]" if attached and attached.private else b"",
        )
        rows = () if attached is None else attached.rows()
        self._entry = Entry(actor.id, actor.epoch, row, actor.wake_at_ms(), *rows)

    def committed(self) -> Committed:
        milestones = self.attached.milestones if self.attached else ()
        return Committed(self.actor.id, self.actor.kind, self.actor.epoch, self.first_seq, self.lines, milestones)

    def refuse(self, error: Exception) -> None:
        """Everybody who waits shall get this error instead: nothing of this is known to have happened."""
        self.replies = [(reply, error) for reply, _ in self.replies[self._told :]]
        self._told = 0

    def answer_some(self) -> bool:
        """Those who have waited longest, and wait no more; gives whether that was the last of them."""
        some = self.replies[self._told : self._told + ANSWERED_AT_ONCE]
        self._told += len(some)
        for reply, answer in some:
            try:
                reply(answer)
            except Exception:  # it must not raise; if it does, the others still get their replies
                log.exception("reply.failed", actor=self.actor.id)
        return self._told == len(self.replies)
