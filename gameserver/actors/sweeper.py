"""Going round: who is idle leaves memory."""

from collections.abc import Iterator, Mapping

import trio

from gameserver.actors.cell import Cell
from gameserver.actors.messages import Passivate, internal
from gameserver.actors.ports import Clock
from gameserver.beats import next_beat
from gameserver.config import ActorSettings
from gameserver.turns import in_turns


class Sweeper:
    """`cells` are the actors in memory, as they come and go."""

    def __init__(self, cells: Mapping[str, Cell], clock: Clock, limits: ActorSettings) -> None:
        self._cells, self._clock, self._limits = cells, clock, limits

    async def run(self) -> None:
        while True:
            await next_beat(self._limits.sweep_interval_ms / 1000)
            await in_turns(self._passivate_idle())

    def _passivate_idle(self) -> Iterator[None]:
        idle_since = trio.current_time() - self._limits.idle_ms / 1000
        soon_ms = self._clock.now_ms() + self._limits.idle_ms
        for cell in list(self._cells.values()):
            yield
            actor = cell.actor
            if actor is None or actor.worked_at > idle_since or cell.mailbox.messages:
                continue
            wake_at_ms = actor.wake_at_ms()
            if wake_at_ms is None or wake_at_ms > soon_ms:
                cell.mailbox.put(internal(cell.actor_id, Passivate()))
