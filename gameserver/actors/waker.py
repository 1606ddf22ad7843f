"""Waking actors to whom nobody would come back.

An actor in memory has its alarm; one that is in no memory sleeps until a message comes. But some have to be awake:

- its timer is due, and it was released;
- its process is gone, killed or cut off, with a timer running: a battle goes on without waiting for a command.

The journal knows both. Every node asks it all the time, and wakes those that placement gives to it, a few at a time:
the crowd that a dead node leaves behind shall not keep waiting whom players ask for.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog
import trio

from gameserver.actors.cell import Cell
from gameserver.actors.kinds import Kinds
from gameserver.actors.messages import Send, Wake, internal
from gameserver.actors.ports import Clock, Journal, Sleeper
from gameserver.beats import next_beat
from gameserver.config import ActorSettings
from gameserver.errors import JournalError

log = structlog.get_logger()

BelongsHere = Callable[[Sleeper, int], bool]


class Waker:
    """`cells` are the actors in memory, as they come and go."""

    def __init__(
        self,
        cells: Mapping[str, Cell],
        deliver: Send,
        journal: Journal,
        kinds: Kinds,
        clock: Clock,
        limits: ActorSettings,
    ) -> None:
        self._cells, self._deliver, self._journal = cells, deliver, journal
        self._kinds, self._clock, self._limits = kinds, clock, limits
        self._room = trio.CapacityLimiter(limits.wakes_limit)
        self._waking: set[str] = set()
        self._failing = False

    async def run(self, belongs_here: BelongsHere) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await self._wake_all(belongs_here, nursery)
                await next_beat(self._limits.wake_interval_ms / 1000)

    async def _wake_all(self, belongs_here: BelongsHere, nursery: trio.Nursery) -> None:
        now_ms, last = self._clock.now_ms(), None
        while True:
            sleepers = await self._read(now_ms, last)
            for each in sleepers:
                if not self._attended(each) and belongs_here(each, now_ms):
                    await self._room.acquire_on_behalf_of(each.actor_id)
                    self._waking.add(each.actor_id)
                    nursery.start_soon(self._wake, each.actor_id)
            if len(sleepers) < self._limits.wake_batch:
                break
            last = sleepers[-1]

    def _attended(self, sleeper: Sleeper) -> bool:
        return sleeper.actor_id in self._waking or sleeper.actor_id in self._cells

    async def _read(self, now_ms: int, last: Sleeper | None) -> Sequence[Sleeper]:
        try:
            sleepers = await self._journal.sleepers(now_ms, self._kinds.rules, self._limits.wake_batch, last)
        except JournalError as error:
            if not self._failing:
                log.warning("waker.failed", error=str(error))
            self._failing = True
            return ()
        self._failing = False
        return sleepers

    async def _wake(self, actor_id: str) -> None:
        """Until it lives, or cannot."""
        try:
            self._deliver(internal(actor_id, Wake()))
            cell = self._cells.get(actor_id)
            if cell is not None:
                await cell.settled.wait()
        finally:
            self._waking.remove(actor_id)
            self._room.release_on_behalf_of(actor_id)
