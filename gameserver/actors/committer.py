"""Group commit: one statement at a time carries everything that gathered while the last one ran.

Invariants:
- Nothing leaves a node before the commit that covers it: replies, refusals, reads and events wait in a `Pending`.
- An actor has at most one pending on its way and one that gathers; both die together: an actor whose commit did not
  land is dropped, with all that it has queued, before the next statement starts.
- There is no timer: a lone command is committed at once, a thousand at once share a commit.

When a statement fails: what was never sent is tried again until the deadline; what the database rejects is halved until
the culprit stands alone, and only that one is dropped; an unknown outcome is never guessed at and never sent again: all
its actors are dropped, and their next activation fences the lost statement or sees what it did.
"""

from collections.abc import Callable, Sequence

import structlog
import trio
from attrs import define

from gameserver.actors.pending import Pending, Writer
from gameserver.actors.ports import Audience, Committed, Journal
from gameserver.config import JournalSettings, PostgresSettings
from gameserver.errors import CommitRejected, OutcomeUnknown, Refused, StorageUnavailable

log = structlog.get_logger()

RETRY_PAUSE_S = 0.05


@define
class CommitCounters:
    commits: int = 0
    entries: int = 0
    events: int = 0
    largest_batch: int = 0
    overtaken: int = 0
    rejected: int = 0
    unknown: int = 0
    unavailable: int = 0


class Committer:
    def __init__(
        self, journal: Journal, audience: Audience, limits: JournalSettings, postgres: PostgresSettings
    ) -> None:
        self._journal, self._audience, self._limits = journal, audience, limits
        self._patience_s = postgres.commit_deadline_ms / 1000
        self._gathering: dict[Writer, Pending] = {}
        self._on_the_way: dict[Writer, Pending] = {}
        self._wake = trio.Event()
        self._turns = trio.lowlevel.ParkingLot()
        self._events_waiting = 0
        self._to_tell: list[Callable[[], None]] = []
        self.counters = CommitCounters()

    # -- for actors -----------------------------------------------------------------------------------------------

    def pending(self, actor: Writer) -> Pending:
        """Where the actor puts what it decides now."""
        pending = self._gathering.get(actor)
        if pending is None:
            pending = self._gathering[actor] = Pending(actor, actor.seq + 1)
            self._wake.set()
        return pending

    def holds(self, actor: Writer) -> bool:
        return actor in self._gathering or actor in self._on_the_way

    def note_event(self) -> None:
        self._events_waiting += 1

    def announce(self, actor: Writer) -> None:
        """Tell the audience how far a restored actor has come: what it has not seen of that landed unbeknown to us."""
        self._audience.committed(Committed(actor.id, actor.kind, actor.epoch, actor.seq + 1, (), ()))
        self._audience.flush()

    def on_news(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each commit that carried outbox rows; it never blocks."""
        self._to_tell.append(callback)

    @property
    def overloaded(self) -> bool:
        return self._events_waiting >= self._limits.pending_limit

    @property
    def events_waiting(self) -> int:
        return self._events_waiting

    def drop(self, actor: Writer, error: Exception) -> None:
        """Forget everything of the actor that has not landed, and tell all who wait for it."""
        pending = self._gathering.pop(actor, None)
        if pending is not None:
            self._events_waiting -= len(pending.events)
            pending.refuse(error)

    async def landed(self, actor: Writer) -> None:
        """Until nothing of the actor gathers or is on its way."""
        while self.holds(actor):
            await self._turns.park()

    # -- the one task ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._gathering:
                    await self._commit(self._take())
        finally:
            for actor in list(self._gathering):
                self.drop(actor, Refused("node_stopping"))

    def _take(self) -> list[Pending]:
        """The oldest pendings, as many as one commit may carry."""
        room = self._limits.batch_limit
        while self._gathering and room > 0:
            actor = next(iter(self._gathering))
            pending = self._on_the_way[actor] = self._gathering.pop(actor)
            room -= len(pending.events)
        return list(self._on_the_way.values())

    async def _commit(self, batch: list[Pending]) -> None:
        try:
            writing = [pending for pending in batch if pending.events]
            if writing:
                await self._append(writing)
            else:
                await trio.lowlevel.checkpoint()
            for pending in batch:
                if pending.actor in self._on_the_way:
                    self._deliver(pending)
            self._audience.flush()
            if any(pending.outbox for pending in batch):
                for callback in self._to_tell:
                    callback()
        finally:
            for pending in self._on_the_way.values():
                pending.refuse(Refused("node_stopping"))
            self._on_the_way.clear()
            self._events_waiting -= sum(len(pending.events) for pending in batch)
            self._turns.unpark_all()

    async def _append(self, batch: Sequence[Pending]) -> None:
        """Write the batch; whoever did not land has been dropped when this returns."""
        try:
            landed = await self._append_patiently(batch)
        except CommitRejected as error:
            await self._halve(batch, error)
        except OutcomeUnknown as error:
            self.counters.unknown += 1
            log.warning("commit.outcome_unknown", actors=len(batch), error=str(error))
            self._lose(batch, "outcome_unknown")
        except StorageUnavailable as error:
            self.counters.unavailable += 1
            log.warning("commit.storage_unavailable", actors=len(batch), error=str(error))
            self._lose(batch, "storage_unavailable")
        except Exception:  # a bug of the adapter: nothing is known, and the other actors go on
            self.counters.unknown += 1
            log.exception("commit.failed", actors=len(batch))
            self._lose(batch, "outcome_unknown")
        else:
            overtaken = [pending for pending in batch if pending.actor.id not in landed]
            self.counters.overtaken += len(overtaken)
            self._lose(overtaken, "actor_restarting")

    async def _append_patiently(self, batch: Sequence[Pending]) -> frozenset[str]:
        entries = [pending.entry() for pending in batch]
        give_up_at = trio.current_time() + self._patience_s
        while True:
            try:
                landed = await self._journal.append(entries)
            except StorageUnavailable:
                if trio.current_time() >= give_up_at:
                    raise
                await trio.sleep(RETRY_PAUSE_S)
            else:
                self._count(batch)
                return landed

    async def _halve(self, batch: Sequence[Pending], error: CommitRejected) -> None:
        if len(batch) == 1:
            self.counters.rejected += 1
            log.error("commit.rejected", actor=batch[0].actor.id, error=str(error))
            self._lose(batch, "commit_rejected")
            return
        middle = len(batch) // 2
        await self._append(batch[:middle])
        await self._append(batch[middle:])

    def _lose(self, lost: Sequence[Pending], code: str) -> None:
        for pending in lost:
            del self._on_the_way[pending.actor]
            pending.refuse(Refused(code))
            self.drop(pending.actor, Refused("actor_restarting"))
            pending.actor.abandon()

    def _deliver(self, pending: Pending) -> None:
        del self._on_the_way[pending.actor]
        try:
            pending.answer()
            pending.actor.on_committed(pending)
            if pending.events:
                self._audience.committed(pending.committed())
        except Exception:  # one actor's audience must not take down the commits of all others
            log.exception("commit.delivery_failed", actor=pending.actor.id)

    def _count(self, batch: Sequence[Pending]) -> None:
        events = sum(len(pending.events) for pending in batch)
        self.counters.commits += 1
        self.counters.entries += len(batch)
        self.counters.events += events
        self.counters.largest_batch = max(self.counters.largest_batch, events)
