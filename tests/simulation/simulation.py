"""A whole cluster and its players on the virtual clock, with everything going wrong that its faults say.

    all begin → troubles, one after the other, while everybody plays → no more faults → all get well (see ending.py)

The nodes are what the composition root makes of them, over the ports of tests/cluster/; the players are those of the
client library. Nothing in a run comes from outside: its times, its dice and the order of its tasks follow from its
seed.
"""

import traceback
from random import Random

import trio
from attrs import Factory, define, field

from gameserver import main
from gameserver.actors.catalog import Catalog
from gameserver.actors.ports import Activation
from gameserver.protocol.close_codes import CloseCode
from tests.cluster.cluster_node import ClusterNode
from tests.cluster.cluster_stage import ClusterStage
from tests.simulation.checkers import Broken, NodesKeepWorking, PlayersGetOn
from tests.simulation.coverage import Coverage, count_node, is_woken, watch_node
from tests.simulation.ending import Ending
from tests.simulation.faults import Faults
from tests.simulation.frost import Frost, FrostWatch
from tests.simulation.game import BATTLES, RULES, SECTIONS, SIDES
from tests.simulation.history import History
from tests.simulation.net import Net
from tests.simulation.observers import Observers
from tests.simulation.players import Bot
from tests.simulation.troubles import TroubledHub, Troubles

BEGIN_S, END_S = 10, 20
"""Within so many seconds a healthy cluster stands; and after the last fault all is well again."""


@define(eq=False)
class Simulation:
    faults: Faults
    frost_watch: FrostWatch = Factory(FrostWatch)
    history: History = Factory(History)
    coverage: Coverage = Factory(Coverage)
    broken: Broken = field(init=False)
    observers: Observers = field(init=False)
    dice: Random = field(init=False)
    net: Net = field(init=False)
    troubles: Troubles = field(init=False)
    stage: ClusterStage = field(init=False)
    up: dict[str, ClusterNode] = Factory(dict)
    """The nodes that have started and have not gone yet."""
    orphans: dict[str, str] = Factory(dict)
    """Actors whose node died, and which nobody has taken since."""
    frosts: dict[ClusterNode, Frost] = Factory(dict)
    bots: dict[str, Bot] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.broken = Broken(self.history)
        self.observers = Observers(self.history, self.broken, self.coverage)
        self.dice = Random(self.faults.seed)
        self.net, self.troubles = Net(self, self.more_dice()), Troubles(self, self.more_dice())

    def more_dice(self) -> Random:
        """So that who throws more often changes nothing for the others."""
        return Random(self.dice.random())

    async def run(self) -> None:
        """Until its end, or until a promise is broken."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_broken, nursery.cancel_scope)
                await self._live(nursery)
                nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001  # also a node that dies by itself
            self.broken.add(NodesKeepWorking, "".join(traceback.format_exception(error)))

    async def _end_when_broken(self, scope: trio.CancelScope) -> None:
        await self.broken.noticed.wait()
        for frost in self.frosts.values():
            frost.thaw()
        scope.cancel()

    async def _live(self, nursery: trio.Nursery) -> None:
        with trio.move_on_after(BEGIN_S) as patience:
            await self._begin(nursery)
        if patience.cancelled_caught:
            self.broken.add(PlayersGetOn, "the cluster has not come up")
        await self.troubles.run()
        self.history.note("-", "there are no more faults")
        ending = Ending(self)
        with trio.move_on_after(END_S) as patience:
            await ending.come()
        if patience.cancelled_caught:
            self.broken.add(PlayersGetOn, f"after {END_S} s: {ending.missing()}")

    # -- the beginning ------------------------------------------------------------------------------------------------

    async def _begin(self, nursery: trio.Nursery) -> None:
        hub = TroubledHub(troubles=self.troubles, in_order=not self.faults.packets_overtake)
        self.stage = ClusterStage(nursery, SECTIONS, hub=hub, dice=self.more_dice(), catalog=Catalog)
        self.stage.on_run = self._cover
        store = self.stage.store
        store.dice, store.on_landed, store.on_activation = self.more_dice(), self.observers.landed, self._activated
        for name in self.faults.nodes:
            await self.start_node(name)
        await self.stage.met()
        for battle, mode in BATTLES.items():
            node = self.dice.choice(self.faults.nodes)
            battle_id = await self.stage.battle(self.stage.id_on(node), node, mode)
            for place, fights in enumerate((True, True, False)):
                self._add_bot(nursery, f"{battle}-{place}", f"{battle}-{place}", battle_id, mode, fights)
            if battle == "a":
                self._add_bot(nursery, "a-0-tab", "a-0", battle_id, mode, fights=True)

    def _add_bot(self, nursery: trio.Nursery, name: str, player: str, battle_id: str, mode: str, fights: bool) -> None:
        bot = self.bots[name] = Bot(name, player, battle_id, mode, self, self.more_dice(), fights)
        nursery.start_soon(bot.run)

    def _activated(self, name: str, activation: Activation) -> None:
        actor_id, stored = activation.actor_id, self.stage.store.actors[activation.actor_id]
        self.observers.activated(name, activation)
        self.troubles.activated(activation)
        left_by = self.orphans.pop(actor_id, None)
        if left_by is not None:
            self.coverage["taken_back" if left_by == name else "taken_over"] += 1
        self.coverage["restored_from_snapshot"] += stored.snapshot is not None
        self.coverage["woken"] += is_woken(self.stage.nodes[name], actor_id)
        for node in self.stage.living:
            may_own = node.keeper.held and node.name in self.stage.store.live
            if node.name != name and may_own and node.core.catalog.durable_seq(actor_id) is not None:
                self.observers.single_writer.two_owners(actor_id, name, node.name)

    # -- nodes --------------------------------------------------------------------------------------------------------

    async def start_node(self, name: str) -> None:
        self.history.note(name, "starts")
        self.coverage["came_back_within_its_lease"] += name in self.stage.store.live
        self.up[name] = await self.stage.start(name, RULES)

    def _cover(self, node: ClusterNode) -> None:
        """In the node's own task, before it does anything."""
        frost = self.frosts[node] = Frost()
        self.frost_watch.cover(frost)
        watch_node(node, self.coverage)
        node.storage.latency_s, node.storage.on_append = self.faults.storage_latency_s, self.troubles.before_append
        node.facts.sides, node.others.on_recorded = SIDES, self.observers.scores.counted

    async def crash(self, node: ClusterNode) -> None:
        self.history.note(node.name, "crashes")
        self.orphans |= {cell.actor_id: node.name for cell in node.core.catalog.cells() if cell.actor is not None}
        node.gate.close()
        self.net.cut_all(node)
        node.cancel.cancel()
        self.frosts[node].thaw()
        await node.kill()
        self._gone(node)

    async def stop(self, node: ClusterNode, *, drained: bool) -> None:
        """In order, unless it crashes on the way."""
        self.history.note(node.name, "is drained" if drained else "stops")
        node.nursery.start_soon(self._stop_in_order, node, drained)
        await node.over.wait()
        self._gone(node)

    async def _stop_in_order(self, node: ClusterNode, drained: bool) -> None:
        if drained:
            await node.core.drain.run()
        node.cluster.myself.leaving = True
        for wire in self.net.of(node):
            wire.close(CloseCode.GOING_AWAY)
        await main._stop(node.settings, self.stage.storages[node], node.cluster, node.core)
        self.history.note(node.name, "has stopped")
        node.alive = False
        node.bus.leave()
        node.cancel.cancel()

    def _gone(self, node: ClusterNode) -> None:
        if self.up.get(node.name) is node:
            del self.up[node.name]
            count_node(node, self.coverage)

    def freeze(self, node: ClusterNode) -> None:
        self.history.note(node.name, "stands still")
        node.gate.close()
        self.frosts[node].freeze()

    def thaw(self, node: ClusterNode) -> None:
        if node.alive:
            self.history.note(node.name, "goes on")
            self.coverage["zombie_woke"] += node.name not in self.stage.store.live
            node.gate.open()
            self.frosts[node].thaw()
