"""What one actor has decided and is not durable yet: events to be written, and everybody who waits for that."""

from collections import deque
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
from gameserver.protocol.events import Line

log = structlog.get_logger()

ANSWERED_AT_ONCE: Final = 16


class Writer(Protocol):
    """What the committer needs of an actor."""

    id: str
    epoch: int
    seq: int

    @property
    def kind(self) -> str: ...

    @property
    def rules_version(self) -> int: ...

    def wake_at_ms(self) -> int | None: ...

    def abandon(self) -> None: ...

    def on_committed(self, pending: "Pending") -> None: ...


class Pending(Struct, eq=False):
    """Grows turn by turn until the committer takes it; then it lands, or is dropped, as a whole.

    Without events it only waits for those of its actor that are on their way, and is answered after them.
    """

    actor: Writer
    first_seq: int
    lines: list[bytes] = field(default_factory=list)
    milestones: list[tuple[int, Any]] = field(default_factory=list)
    private: list[bytes] = field(default_factory=list)
    outcomes: list[list[str | int]] = field(default_factory=list)
    projections: dict[tuple[str, ...], Projection] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)
    keys: list[KeyRow] = field(default_factory=list)
    intentions: list[Intention] = field(default_factory=list)
    replies: deque[tuple[Reply, Answer]] = field(default_factory=deque)
    snapshot: Snapshot | None = None
    counted: int = 0
    """Of its events, those that the committer counts among the waiting."""
    _entry: Entry | None = None

    def add_line(self, line: Line) -> None:
        public, private = line
        self.lines.append(public)
        if private:
            self.private.append(private)

    def add_outcome(self, identity: Identity, seq: int, line: bytes) -> None:
        self.outcomes.append(row_of(identity, seq))
        if isinstance(identity, IdempotencyKey):
            self.keys.append(KeyRow(identity.player, identity.key, identity.request_hash, seq, line))

    def add_rows(self, seq: int, event: Any, state: Any) -> None:
        """What follows from an event that is more than play, given the state right after it."""
        if type(event) in MILESTONES:
            self.milestones.append((seq, event))
        for row in PROJECTIONS[type(event)](state, event, seq):
            if isinstance(row, OutboxRow):
                self.outbox.append(row)
            else:
                self.projections[row.table, *row.key] = row

    @property
    def entry(self) -> Entry:
        assert self._entry is not None, "the pending has not been taken"
        return self._entry

    def make_entry(self) -> None:
        """Once, in the step that takes the pending: the actor goes on, and its next timer may be another one then."""
        row = JournalRow(
            first_seq=self.first_seq,
            seq=self.first_seq + len(self.lines) - 1,
            rules_version=self.actor.rules_version,
            outcomes=encode(self.outcomes) if self.outcomes else b"",
            public=b"\n".join(self.lines),
            private=b"[" + b",".join(self.private) + b"]" if self.private else b"",
        )
        self._entry = Entry(
            actor_id=self.actor.id,
            epoch=self.actor.epoch,
            row=row,
            wake_at_ms=self.actor.wake_at_ms(),
            projections=tuple(self.projections.values()),
            outbox=tuple(self.outbox),
            keys=tuple(self.keys),
        )

    def committed(self) -> Committed:
        return Committed(self.actor.id, self.actor.kind, self.actor.epoch, self.first_seq, self.lines, self.milestones)

    def refuse(self, error: Exception) -> None:
        """Everybody who waits shall get this error instead: nothing of this is known to have happened."""
        self.replies = deque((reply, error) for reply, _ in self.replies)

    def answer_some(self) -> None:
        """Those who have waited longest, and wait no more."""
        for _ in range(min(len(self.replies), ANSWERED_AT_ONCE)):
            reply, answer = self.replies.popleft()
            try:
                reply(answer)
            except Exception:  # it must not raise; if it does, the others still get their replies
                log.exception("reply.failed", actor=self.actor.id)
