"""The node's right to own actors: kept alive by PostgreSQL's clock, given up by our own.

The lease is renewed from the Trio loop, so a node whose loop hangs loses it. A node that could not renew in time,
counted from the moment before it last asked, stops all its actors: from then on another may own them. It registers
anew, as a new incarnation, as soon as PostgreSQL answers.
"""

from collections.abc import Callable

import structlog
import trio

from gameserver.beats import beat_after
from gameserver.cluster.clock import CorrectedClock
from gameserver.cluster.ports import Lease, Leases, Renewal
from gameserver.config import NodeSettings
from gameserver.errors import JournalError, LeaseLost

log = structlog.get_logger()

HURRY = 5
"""After a renewal that failed, the next comes so many times sooner."""


class LeaseKeeper:
    def __init__(self, leases: Leases, clock: CorrectedClock, settings: NodeSettings) -> None:
        self._leases, self._clock, self._settings = leases, clock, settings
        self._to_tell: list[Callable[[], None]] = []
        self._lease: Lease | None = None
        self._interval_s = settings.lease_renew_ms / 1000
        self._asked_at = self._good_until = 0.0
        self._failing = False
        self._keeping = trio.CancelScope()

    @property
    def held(self) -> bool:
        return self._lease is not None and trio.current_time() < self._good_until

    @property
    def incarnation(self) -> str:
        """Of the lease; empty while none is held."""
        return self._lease.incarnation if self._lease is not None and self.held else ""

    def current(self) -> Lease:
        """Raises LeaseLost."""
        if self._lease is None or not self.held:
            raise LeaseLost(self._settings.name)
        return self._lease

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the lease is lost; it never blocks."""
        self._to_tell.append(callback)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Started once the first lease is held. Raises StorageUnavailable if that one cannot be had."""
        await self._register()
        task_status.started()
        next_at = beat_after(self._asked_at, self._interval_s)
        with self._keeping:
            while True:
                # Not beyond the lease's end: it must not go unnoticed.
                await trio.sleep_until(min(next_at, self._good_until) if self.held else next_at)
                try:
                    await self._renew()
                except JournalError as error:
                    next_at = trio.current_time() + self._interval_s / HURRY
                    if not self._failing:
                        log.warning("lease.not_renewed", error=str(error))
                    self._failing = True
                else:
                    next_at = beat_after(self._asked_at, self._interval_s)  # at once, if the answer took that long
                    if self._failing and self.held:
                        log.info("lease.held_again")
                    self._failing = not self.held
                if not self.held:
                    self._lose()

    async def resign(self) -> None:
        """For good: `run` ends, lest it register anew."""
        self._keeping.cancel()
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._leases.resign(lease)

    async def _register(self) -> None:
        self._asked_at = trio.current_time()
        self._lease, renewal = await self._leases.register(self._settings.name)
        self._took(renewal)

    async def _renew(self) -> None:
        if self._lease is None:
            await self._register()
            return
        self._asked_at = trio.current_time()
        with trio.move_on_at(self._good_until):
            self._took(await self._leases.renew(self._lease))

    def _took(self, renewal: Renewal) -> None:
        self._clock.correct(renewal.postgres_ms, renewal.error_ms)
        self._good_until = self._asked_at + self._settings.lease_ms / 1000 if renewal.held else 0.0

    def _lose(self) -> None:
        if self._lease is not None:
            log.error("lease.lost", node=self._settings.name)
            self._lease = None
            for callback in self._to_tell:
                callback()
