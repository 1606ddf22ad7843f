"""What one actor has decided and is not durable yet: events to be written, and everybody who waits for that."""

from collections import deque
from typing import Any, Final, Protocol

import structlog
from attrs import Factory, define

from gameserver.actors.outcomes import row_of
from gameserver.actors.ports import (
    Accepted,
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
from gameserver.codec import encode
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


@define(eq=False)
class Pending:
    """Grows turn by turn until the committer takes it; then it lands, or is dropped, as a whole.

    Without events it only waits for those of its actor that are on their way, and is answered after them.
    """

    actor: Writer
    first_seq: int
    events: list[Any] = Factory(list)
    lines: list[bytes] = Factory(list)
    private: list[bytes] = Factory(list)
    outcomes: list[list[str | int]] = Factory(list)
    projections: dict[tuple[str, ...], Projection] = Factory(dict)
    outbox: list[OutboxRow] = Factory(list)
    keys: list[KeyRow] = Factory(list)
    intentions: list[Intention] = Factory(list)
    replies: deque[tuple[Reply, Answer]] = Factory(deque)
    snapshot: Snapshot | None = None
    _entry: Entry | None = None

    def add_event(self, event: Any, line: Line) -> None:
        self.events.append(event)
        self.lines.append(line.public)
        if line.private:
            self.private.append(line.private)

    def add_outcome(self, identity: Identity, accepted: Accepted) -> None:
        self.outcomes.append(row_of(identity, accepted.seq))
        if isinstance(identity, IdempotencyKey):
            assert accepted.event is not None
            key = KeyRow(identity.player, identity.key, identity.request_hash, accepted.seq, accepted.event)
            self.keys.append(key)

    def add_row(self, row: Projection | OutboxRow) -> None:
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
            seq=self.first_seq + len(self.events) - 1,
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
        return Committed(self.actor.id, self.actor.kind, self.actor.epoch, self.first_seq, self.events, self.lines)

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
