"""After the last fault: everybody gets well again within bounds, and what has been lived through is looked at."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from attrs import define

from gameserver.config import Settings
from tests.actors.node import T0, settings_with
from tests.cluster.cluster_node import ClusterNode
from tests.cluster.cluster_stage import kinds_of
from tests.simulation.checkers import PlayersGetOn, StateIsTheFold
from tests.simulation.game import RULES, SECTIONS

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

OVERDUE_MS = 1_500
LOOK_INTERVAL_S = 0.1


@define(eq=False)
class Ending:
    world: "Simulation"
    waits_for: str = ""
    who: Callable[[], list[str]] = list
    """Those for whom it is not true yet."""

    async def come(self) -> None:
        bots = self.world.bots.values()
        for name in self.world.faults.nodes:
            if name not in self.world.stage.nodes or not self.world.stage.nodes[name].alive:
                await self.world.start_node(name)
        await self._all("nodes see each other", self._blind)
        for bot in bots:
            bot.stopped = True
        await self._all("players are answered", lambda: [bot.name for bot in bots if bot.asking])
        for bot in bots:
            if bot.fights and not bot.finished:
                self.waits_for = f"{bot.name} does one more thing"
                await bot.act()
        await self._all("timers fire", self._overdue)
        await self._all("players are caught up", lambda: [bot.name for bot in bots if not bot.caught_up])
        await self._all("scores are counted", self.world.observers.scores.uncounted)
        self._look_at_players()
        for bot in bots:
            bot.left.set()
        await self._all("nodes have nothing to wait for", self._busy)
        self._look_at_memories()
        for node in list(self.world.up.values()):
            await self.world.stop(node, drained=False)
        self._look_at_store()

    async def _all(self, what: str, who: Callable[[], list[str]]) -> None:
        self.waits_for, self.who = what, who
        while who():
            await trio.sleep(LOOK_INTERVAL_S)

    def missing(self) -> str:
        return f"it is not so that {self.waits_for}: {', '.join(self.who())}"

    # -- who is not well ----------------------------------------------------------------------------------------------

    def _blind(self) -> list[str]:
        names = set(self.world.faults.nodes)
        return [name for name, node in self.world.stage.nodes.items() if self.world.stage._usable(node) != names]

    def _overdue(self) -> list[str]:
        before_ms = T0 + round(trio.current_time() * 1_000) - OVERDUE_MS
        actors = self.world.stage.store.actors.items()
        return [actor_id for actor_id, stored in actors if (stored.wake_at_ms or before_ms) < before_ms]

    def _busy(self) -> list[str]:
        return [node.name for node in self.world.up.values() if _is_busy(node)]

    # -- what was lived through ---------------------------------------------------------------------------------------

    def _look_at_players(self) -> None:
        for bot in self.world.bots.values():
            for name, seq, what in bot.accepted:
                self.world.observers.durable.told(name, seq, what)

    def _look_at_memories(self) -> None:
        checker = self._folds()
        for node in self.world.up.values():
            for cell in node.core.catalog.cells():
                if cell.actor is not None and not cell.mailbox.messages:
                    checker.lives(cell.actor, self.world.stage.store.actors[cell.actor_id])

    def _look_at_store(self) -> None:
        checker, store = self._folds(), self.world.stage.store
        for actor_id, stored in store.actors.items():
            checker.stored(actor_id, stored)
            if stored.owner in store.live:
                self.world.broken.add(PlayersGetOn, f"{actor_id} still belongs to {stored.owner}, which has stopped")

    def _folds(self) -> StateIsTheFold:
        settings: Settings = settings_with(**SECTIONS)
        return StateIsTheFold(self.world.broken, kinds_of(RULES, settings.guards), settings.commands)


def _is_busy(node: ClusterNode) -> bool:
    core, cluster = node.core, node.cluster
    waiting = (core.sessions, core.watches, core.resumes, cluster.requests)
    return any(map(len, waiting)) or bool(cluster.links.waiting or core.committer.events_waiting)
