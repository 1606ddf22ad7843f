"""Going round: who is idle leaves memory, and who is not in memory is woken when its timer is due."""

from collections.abc import Callable, Mapping

import structlog
import trio

from gameserver.actors.cell import Cell
from gameserver.actors.kinds import Kinds
from gameserver.actors.messages import Passivate, Send, Wake, internal
from gameserver.actors.ports import Clock, Due, Journal
from gameserver.config import ActorSettings
from gameserver.errors import JournalError

log = structlog.get_logger()


class Sweeper:
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

    async def run(self, belongs_here: Callable[[Due, int], bool]) -> None:
        failing = False
        while True:
            await trio.sleep(self._limits.sweep_interval_ms / 1000)
            self._passivate_idle()
            try:
                await self._wake_due(belongs_here)
            except JournalError as error:
                if not failing:
                    log.warning("sweep.failed", error=str(error))
                failing = True
            else:
                failing = False

    def _passivate_idle(self) -> None:
        idle_since = trio.current_time() - self._limits.idle_ms / 1000
        soon_ms = self._clock.now_ms() + self._limits.idle_ms
        for cell in self._cells.values():
            if cell.last_message_at > idle_since or cell.actor is None or cell.mailbox.messages:
                continue
            wake_at_ms = cell.actor.wake_at_ms()
            if wake_at_ms is None or wake_at_ms > soon_ms:
                cell.mailbox.put(internal(cell.actor_id, Passivate()))

    async def _wake_due(self, belongs_here: Callable[[Due, int], bool]) -> None:
        now_ms = self._clock.now_ms()
        for due in await self._journal.due(now_ms, self._kinds.rules, self._limits.sweep_batch):
            if due.actor_id not in self._cells and belongs_here(due, now_ms):
                self._deliver(internal(due.actor_id, Wake()))
