"""Group commit: one statement at a time carries everything that gathered while the last one ran.

Invariants:
- Nothing leaves a node before the commit that covers it: replies, refusals, reads and events wait in a `Pending`.
- An actor has at most one pending on its way and one that gathers; both die together: an actor whose commit did not
  land is dropped, with all that it has queued, before the next statement starts.
- What has landed is delivered while the next statement runs (see delivery.py), and before what that one carries.
- There is no timer: a lone command is committed at once, a thousand at once share a commit.
- Taking and dropping are walks in turns (see turns.py): meanwhile actors decide, into what gathers for the next commit.
  One pending is taken in one step, with the timer that goes with its events.

When a statement fails: what was never sent is tried again until the storage has been away for as long as the deadline,
and once from then on; what the database rejects is halved until the culprit stands alone, and only that one is dropped;
an unknown outcome is never guessed at and never sent again: all its actors are dropped, and their next activation
fences the lost statement or sees what it did.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import structlog
import trio
from attrs import define

from gameserver.actors.delivery import Delivery
from gameserver.actors.pending import Pending, Writer
from gameserver.actors.ports import Audience, Journal
from gameserver.config import JournalSettings, PostgresSettings
from gameserver.errors import CommitRejected, OutcomeUnknown, Refused, StorageUnavailable
from gameserver.turns import in_turns, strides

log = structlog.get_logger()

RETRY_PAUSE_S = 0.05

TAKEN_AT_ONCE: Final = 16
"""Pendings that one step of taking goes over."""


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
        self._journal, self._limits = journal, limits
        self._patience_s = postgres.commit_deadline_ms / 1000
        self._away_since: float | None = None
        self._gathering: dict[Writer, Pending] = {}
        self._on_the_way: dict[Writer, Pending] = {}
        self._wake = trio.Event()
        self._turns = trio.lowlevel.ParkingLot()
        self.delivery = Delivery(audience, self._turns)
        self._events_waiting = 0
        self.overloaded = False
        """So many events wait that nothing more is taken: looked at for every message, and so kept at hand."""
        self.counters = CommitCounters()

    # -- for actors -----------------------------------------------------------------------------------------------

    def pending(self, actor: Writer) -> Pending:
        """Where the actor puts what it decides now."""
        pending = self._gathering.get(actor)
        if pending is None:
            if not self._gathering:
                self._wake.set()
            pending = self._gathering[actor] = Pending(actor, actor.seq + 1)
        return pending

    def holds(self, actor: Writer) -> bool:
        return actor in self._gathering or actor in self._on_the_way or self.delivery.holds(actor)

    def count(self, pending: Pending) -> None:
        """The actor has had its turn."""
        self._count_waiting(len(pending.lines) - pending.counted)
        pending.counted = len(pending.lines)

    @property
    def events_waiting(self) -> int:
        return self._events_waiting

    def _count_waiting(self, more: int) -> None:
        """So many events more, or less."""
        self._events_waiting += more
        self.overloaded = self._events_waiting >= self._limits.pending_limit

    def drop(self, actor: Writer, error: Exception) -> None:
        """Forget what gathers of the actor, and have all told who wait for it."""
        pending = self._gathering.pop(actor, None)
        if pending is not None:
            self._drop(pending, error)

    async def landed(self, actor: Writer) -> None:
        """Until nothing of the actor gathers or is on its way."""
        while self.holds(actor):
            await self._turns.park()

    # -- committing -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_committing)
                nursery.start_soon(self.delivery.run)
        finally:
            for actor in list(self._gathering):
                self.drop(actor, Refused("node_stopping"))

    async def _keep_committing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._gathering:
                await self._commit()

    async def _commit(self) -> None:
        try:
            await in_turns(self._take())
            writing = [pending for pending in self._on_the_way.values() if pending.lines]
            if writing:
                await self._append(writing)
            else:
                await trio.lowlevel.checkpoint()
            await self.delivery.begin(self._on_the_way)
            self._count_waiting(-sum([pending.counted for pending in self._on_the_way.values()]))
            self._on_the_way.clear()
        finally:
            for pending in self._on_the_way.values():
                self._drop(pending, Refused("node_stopping"))
            self._on_the_way.clear()
            if self._turns:
                self._turns.unpark_all()

    def _take(self) -> Iterator[None]:
        """The oldest pendings, as many as one commit may carry, and one of each actor."""
        room = self._limits.batch_limit
        for some in strides(list(self._gathering), TAKEN_AT_ONCE):
            for actor in some:
                if room <= 0:
                    return
                pending = self._gathering.pop(actor, None)
                if pending is None:  # it was dropped while we paused
                    continue
                self._on_the_way[actor] = pending
                room -= len(pending.lines)
                try:
                    if pending.lines:
                        pending.make_entry()
                except Exception:  # a bug of ours, and the other actors go on
                    log.exception("commit.no_entry", actor=actor.id)
                    yield from self._lose([pending], "internal")
            yield

    async def _append(self, batch: Sequence[Pending]) -> None:
        """Write the batch; whoever did not land has been dropped when this returns."""
        try:
            landed = await self._append_patiently(batch)
        except CommitRejected as error:
            await self._halve(batch, error)
        except OutcomeUnknown as error:
            self.counters.unknown += 1
            log.warning("commit.outcome_unknown", actors=len(batch), error=str(error))
            await in_turns(self._lose(batch, "outcome_unknown"))
        except StorageUnavailable:
            self.counters.unavailable += 1
            await in_turns(self._lose(batch, "storage_unavailable"))
        except Exception:  # a bug of the adapter: nothing is known, and the other actors go on
            self.counters.unknown += 1
            log.exception("commit.failed", actors=len(batch))
            await in_turns(self._lose(batch, "outcome_unknown"))
        else:
            overtaken = [pending for pending in batch if pending.actor.id not in landed]
            if overtaken:
                self.counters.overtaken += len(overtaken)
                await in_turns(self._lose(overtaken, "actor_restarting"))

    async def _append_patiently(self, batch: Sequence[Pending]) -> frozenset[str]:
        entries = [pending.entry for pending in batch]
        while True:
            try:
                landed = await self._journal.append(entries)
            except StorageUnavailable as error:
                if self._away_s(error) >= self._patience_s:
                    raise
                await trio.sleep(RETRY_PAUSE_S)
            except CommitRejected:
                self._away_since = None
                raise
            else:
                self._away_since = None
                self._count(batch)
                return landed

    def _away_s(self, error: StorageUnavailable) -> float:
        """For how long the storage has been away: an outage is logged, and waited for, once and not by every batch."""
        if self._away_since is None:
            self._away_since = trio.current_time()
            log.warning("commit.storage_unavailable", error=str(error))
        return trio.current_time() - self._away_since

    async def _halve(self, batch: Sequence[Pending], error: CommitRejected) -> None:
        if len(batch) == 1:
            self.counters.rejected += 1
            log.error("commit.rejected", actor=batch[0].actor.id, error=str(error))
            await in_turns(self._lose(batch, "commit_rejected"))
            return
        middle = len(batch) // 2
        await self._append(batch[:middle])
        await self._append(batch[middle:])

    def _lose(self, lost: Sequence[Pending], code: str) -> Iterator[None]:
        for pending in lost:
            del self._on_the_way[pending.actor]
            self._drop(pending, Refused(code))
            self.drop(pending.actor, Refused("actor_restarting"))
            pending.actor.abandon()
            yield

    def _drop(self, pending: Pending, error: Exception) -> None:
        self._count_waiting(-pending.counted)
        self.delivery.refuse(pending, error)

    def _count(self, batch: Sequence[Pending]) -> None:
        events = sum([len(pending.lines) for pending in batch])
        self.counters.commits += 1
        self.counters.entries += len(batch)
        self.counters.events += events
        self.counters.largest_batch = max(self.counters.largest_batch, events)
