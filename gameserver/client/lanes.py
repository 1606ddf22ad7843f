"""Commands to one battle go one after the other, in the order in which they were asked for.

The server runs no command whose ID lies below that of one that has run. So while a command is being repeated, none that
was asked for later may overtake it: each waits until the one before it was answered or given up.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field


@define(eq=False)
class _Lane:
    lock: trio.Lock = field(factory=trio.Lock)  # it is fair: who comes first goes first
    users: int = 0


class Lanes:
    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    @asynccontextmanager
    async def turn(self, battle_id: str) -> AsyncIterator[None]:
        lane = self._lanes.setdefault(battle_id, _Lane())
        lane.users += 1
        try:
            async with lane.lock:
                yield
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[battle_id]
