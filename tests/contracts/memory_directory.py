"""A directory in memory, for tests of several nodes on Trio's virtual clock: ages are by `trio.current_time`.

Nodes share a `Board`, each through a `MemoryDirectory` of its own. What may go wrong:

    directory.away = True    this node does not reach it: DirectoryAway
    board.away = True        nobody does
    board.wipe()             all is forgotten
"""

from collections.abc import Sequence

import trio
from attrs import Factory, define

from gameserver.cluster.ports import NodeInfo, Sighting
from gameserver.config import ClusterSettings
from gameserver.errors import DirectoryAway


@define
class Board:
    beats: dict[str, tuple[NodeInfo, float]] = Factory(dict)
    away: bool = False

    def wipe(self) -> None:
        self.beats.clear()


class MemoryDirectory:
    def __init__(self, board: Board, settings: ClusterSettings) -> None:
        self._board, self._forget_ms = board, settings.forget_ms
        self.away = False

    async def meet(self, me: NodeInfo) -> Sequence[Sighting]:
        await self._reach()
        now_s = trio.current_time()
        self._board.beats[me.name] = (me, now_s)
        seen = {name: Sighting(info, round(1_000 * (now_s - at_s))) for name, (info, at_s) in self._board.beats.items()}
        for name, sighting in seen.items():
            if sighting.age_ms > self._forget_ms:
                del self._board.beats[name]
        return [sighting for sighting in seen.values() if sighting.age_ms <= self._forget_ms]

    async def leave(self, me: NodeInfo) -> None:
        await self._reach()
        info, _ = self._board.beats.get(me.name, (None, 0.0))
        if info is not None and info.incarnation == me.incarnation:
            del self._board.beats[me.name]

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away or self._board.away:
            raise DirectoryAway("away")
