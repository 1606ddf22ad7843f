"""Several nodes in one process, on the virtual clock: each as the composition root makes it, over ports in memory.

    async with clustered("node-a", "node-b") as cluster:
        a, b = cluster["node-a"], cluster["node-b"]
        await cluster.battle(B)
        eve = b.client("eve")

A node may be killed, started again under its name, stopped in order, or hang. What may go wrong with its ports stands
in cluster_machine.py, cluster_storage.py and cluster_redis.py. What must hold in every test is checked all the time,
and at the end:

- a client's stream of each battle has neither gap nor double, and each of its messages gets exactly one answer;
- every message that a node took gets exactly one reply, unless the node died, none of them ahead of what is durable;
- nobody takes an actor that lives under a lease elsewhere;
- when all clients have gone nothing waits any more; after orderly stops nobody owns anything;
- all journals fold, with and without their snapshots, to the same bytes.
"""

import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any
from unittest import mock

import trio
import trio.lowlevel
from attrs import Factory, define

from gameserver import assembly
from gameserver.actors.activation import fold
from gameserver.actors.catalog import Catalog
from gameserver.actors.kinds import Kinds
from gameserver.actors.messages import Birth
from gameserver.actors.ports import Accepted, Activation, History
from gameserver.cluster.clock import CorrectedClock
from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.cluster.placement import place
from gameserver.config import Settings
from gameserver.game import classic, skirmish
from gameserver.game.commands import Begin, CreateBattle, CreateGroup, Join
from gameserver.game.guards import Guards
from gameserver.game.rules import Rules
from gameserver.node import Cache, Storage
from tests.actors import nasty
from tests.actors.node import CountingCatalog, settings_with
from tests.cluster.cluster_machine import Gate, WallClock
from tests.cluster.cluster_node import ClusterNode
from tests.cluster.cluster_redis import FaultyBus, FaultyHub, GatedDirectory, NothingElse
from tests.cluster.cluster_storage import (
    ClusterStore,
    LeasedJournal,
    LiveLeases,
    MemoryFacts,
    MemoryLeases,
    MemoryOutbox,
    StorageOfNode,
)
from tests.contracts.memory_directory import Board

RULES: Sequence[Rules] = (classic.rules, skirmish.rules, nasty.rules)


_kinds: dict[tuple[Any, ...], Kinds] = {}


def kinds_of(rules: Sequence[Rules], guards: Guards) -> Kinds:
    """Made once: the converter forgets all that it has compiled whenever a mode is registered."""
    key = (guards, *(id(each) for each in rules))
    if key not in _kinds:
        _kinds[key] = Kinds(rules, guards)
    return _kinds[key]


def id_placed(on: str, among: Iterable[str], but: Iterable[str] = ()) -> str:
    """A new ID that placement puts on this node."""
    names, taken = list(among), set(but)
    ids = (str(uuid.uuid5(uuid.NAMESPACE_OID, f"{on} {number}")) for number in itertools.count())
    return next(each for each in ids if each not in taken and place(each, names) == on)


@define(eq=False)
class ClusterStage:
    nursery: trio.Nursery
    sections: dict[str, dict[str, Any]]
    store: ClusterStore = Factory(lambda: ClusterStore(live=LiveLeases()))
    hub: FaultyHub = Factory(FaultyHub)
    board: Board = Factory(Board)
    nodes: dict[str, ClusterNode] = Factory(dict)
    all_nodes: list[ClusterNode] = Factory(list)
    caches: dict[ClusterNode, Any] = Factory(dict)
    storages: dict[ClusterNode, Any] = Factory(dict)
    dice: Random = Factory(Random)
    catalog: type[Catalog] | None = None
    """Instead of one that checks every reply."""
    on_run: Callable[[ClusterNode], None] = lambda node: None
    """Called in a node's own task before it starts any other."""

    def __attrs_post_init__(self) -> None:
        self.store.on_activation = self._check_activation

    def __getitem__(self, name: str) -> ClusterNode:
        return self.nodes[name]

    @property
    def living(self) -> list[ClusterNode]:
        return [node for node in self.nodes.values() if node.alive]

    # -- nodes --------------------------------------------------------------------------------------------------------

    async def start(
        self,
        name: str,
        rules: Sequence[Rules] = RULES,
        roles: tuple[str, ...] = ("http", "websocket", "actors"),
        skew_ms: int = 0,
    ) -> ClusterNode:
        sections = {**self.sections, "node": {**self.sections.get("node", {}), "name": name, "roles": roles}}
        node = self.nodes[name] = self._make(settings_with(**sections), rules, skew_ms)
        self.all_nodes.append(node)
        node.instance = len(self.all_nodes)
        await self.nursery.start(node.run)
        return node

    def _make(self, settings: Settings, rules: Sequence[Rules], skew_ms: int) -> ClusterNode:
        name, gate, wall, others = settings.node.name, Gate(), WallClock(skew_ms), NothingElse()
        clock = CorrectedClock(wall)
        storage = StorageOfNode(gate)
        keeper = LeaseKeeper(MemoryLeases(self.store, storage, settings.node.lease_ms), clock, settings.node)
        journal = LeasedJournal(self.store, name, storage, keeper.current)
        facts, outbox = MemoryFacts(self.store, storage), MemoryOutbox(self.store, storage, name)
        bus, directory = FaultyBus(self.hub, name, gate), GatedDirectory(self.board, settings.cluster, gate)
        kinds = kinds_of(rules, settings.guards)
        kept: Any = Storage(clock, keeper, journal, others, others, facts, outbox, others, others)
        cache: Any = Cache(others, bus, directory, others, others, others)
        cluster = assembly.make_cluster(settings, kinds, kept, cache)
        with mock.patch.object(assembly, "Catalog", self.catalog or partial(CountingCatalog, self.store)):
            core = assembly.make_core(settings, kinds, kept, cache, cluster, self.dice)
        parts = (name, self, settings, gate, storage, keeper, journal, wall, bus, directory, facts, others)
        node = ClusterNode(*parts, cluster, core)
        self.caches[node], self.storages[node] = cache, kept
        return node

    async def met(self) -> None:
        """Until all living nodes see each other, and nothing is handed over any more."""
        names = {node.name for node in self.living}
        with trio.fail_after(60):
            while any(self._usable(node) != names for node in self.living):
                await trio.sleep(0.1)

    def _usable(self, node: ClusterNode) -> set[str]:
        members = node.cluster.membership.view.members.values()
        return {member.info.name for member in members if member.usable and member.info.owning}

    # -- the game -----------------------------------------------------------------------------------------------------

    def id_on(self, name: str) -> str:
        """An ID that placement puts on this living node, and that nobody has yet."""
        return id_placed(name, [node.name for node in self.living], self.store.actors)

    async def battle(self, battle_id: str, via: str | None = None, mode: str = "nasty") -> str:
        """A running battle of wolves (Ann) against bears (Dan), with nothing in flight."""
        node = self.nodes[via] if via else self.living[0]
        if "wolves" not in self.store.actors:
            for name, owner in (("wolves", "ann"), ("bears", "dan")):
                await node.ask(name, CreateGroup(name, name, owner), birth=Birth("group"))
        create = CreateBattle(battle_id, "wolves", "bears", mode, "ann", "attacker")
        for command in (create, Join("dan", ("defender",)), Begin("ann")):
            answer = await node.ask(battle_id, command, birth=Birth("battle", mode))
            assert isinstance(answer, Accepted), answer
        await self.settle()
        return battle_id

    async def settle(self) -> None:
        """Until everything that follows at once has been done."""
        await trio.sleep(0.02)

    async def eventually(self, holds: Callable[[], bool], within_s: float = 30) -> None:
        with trio.fail_after(within_s):
            while not holds():
                await trio.sleep(0.05)

    def last_seq(self, actor_id: str) -> int:
        return self.store.actors[actor_id].last_seq

    def holders(self, actor_id: str) -> list[str]:
        return [node.name for node in self.living if node.holds(actor_id)]

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _check_activation(self, by: str, activation: Activation) -> None:
        for node in self.living:
            if node.name != by and node.keeper.held and node.name in self.store.live:
                assert node.core.catalog.durable_seq(activation.actor_id) is None, (
                    f"{by} takes {activation.actor_id}, which lives on {node.name}"
                )

    def _check_folds(self, kinds: Kinds, settings: Settings) -> None:
        for actor_id, stored in self.store.actors.items():
            kind = kinds.find(stored.kind, stored.mode, stored.rules_version)
            histories = [History(None, stored.rows)]
            if stored.snapshot is not None:
                tail = [row for row in stored.rows if row.seq > stored.snapshot.seq]
                histories.append(History(stored.snapshot, tail))
            memories = [fold(kind, history, settings.commands) for history in histories]
            states = {kind.encode_state(each.machine, each.outcomes, each.at_ms) for each in memories}
            assert len(states) == 1, f"{actor_id}: snapshot and tail differ from the whole journal"
            assert memories[0].seq == stored.last_seq

    async def _end(self, rules: Sequence[Rules]) -> None:
        for node in self.living:
            for client in node.clients:
                client.check()
                if not client.gone:
                    client.check_answers()
                client.hang_up()
        await self.eventually(lambda: not any(len(node.cluster.requests) for node in self.living), within_s=6)
        await self.settle()
        for node in self.living:
            assert len(node.core.watches) == len(node.core.sessions) == 0
            assert node.cluster.links.waiting == 0
            assert node.core.committer.events_waiting == 0
        for node in self.living:
            await node.stop()
        owned = {actor_id for actor_id, actor in self.store.actors.items() if actor.owner in self.store.live}
        dead = {node.name for node in self.nodes.values()} & set(self.store.live)
        assert not owned or dead, f"{owned} were not released"
        settings = settings_with(**self.sections)
        self._check_folds(kinds_of(rules, settings.guards), settings)


@asynccontextmanager
async def clustered(*names: str, rules: Sequence[Rules] = RULES, **sections: Any) -> AsyncIterator[ClusterStage]:
    sections.setdefault("websocket", {}).setdefault("messages_per_second", 0)
    sections.setdefault("auth", {}).setdefault("signing_key", "of the whole cluster")
    async with trio.open_nursery() as nursery:
        stage = ClusterStage(nursery, sections)
        for name in names:
            await stage.start(name)
        await stage.met()
        yield stage
        await stage._end(rules)
        nursery.cancel_scope.cancel()
