"""What several nodes on the virtual clock stand on: one durable store, one hub, one directory, and what may go wrong.

hub.rule = lambda sender, to, items: LOST     that packet is lost; or TWICE, or seconds by which it is late
node.bus.cut(), node.bus.heal()               see tests/contracts/memory_bus.py
node.storage.away = True                      PostgreSQL cannot be reached from this node
node.storage.latency_s, .facts_latency_s      how long its answers take
node.gate.close(), node.gate.open()           the process hangs: nothing goes in or out
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import trio
import trio.lowlevel
from attrs import Factory, define, field

from gameserver.actors.ports import Activation, Entry, OutboxRow
from gameserver.cluster.items import Item
from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.cluster.links import MARK_BYTES, STAMP_BYTES
from gameserver.cluster.ports import AttackFacts, Lease, News, NodeInfo, Renewal, Sighting, Whereabouts
from gameserver.cluster.wire import decode_packet
from gameserver.config import ClusterSettings
from gameserver.errors import BusAway, LeaseLost, StorageUnavailable
from tests.actors.node import T0
from tests.cluster.stage import NobodyElse
from tests.contracts.memory_bus import MemoryBus, MemoryHub
from tests.contracts.memory_directory import Board, MemoryDirectory
from tests.contracts.memory_journal import MemoryJournal, MemoryStore

LOST: Final = None
TWICE: Final = "twice"
Fate = float | str | None
Rule = Callable[[str, str, Sequence[Item]], Fate]
"""What becomes of a packet, by its sender, the node that it would come to, and its items."""


@define
class Gate:
    """Closed while the process hangs."""

    _opened: trio.Event = Factory(trio.Event)
    closed: bool = False

    def close(self) -> None:
        self.closed, self._opened = True, trio.Event()

    def open(self) -> None:
        self.closed = False
        self._opened.set()

    async def passed(self) -> None:
        while self.closed:
            await self._opened.wait()
        await trio.lowlevel.checkpoint()


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


@define
class LiveLeases:
    """Stands in for the set of names in MemoryStore: a lease ends with its time."""

    until: dict[str, tuple[str, float]] = Factory(dict)

    def add(self, name: str) -> None:
        """A journal alone gives no lease here."""

    def discard(self, name: str) -> None:
        self.until.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return self.until.get(str(name), ("", -1.0))[1] > trio.current_time()

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.until if name in self)


@define
class ClusterStore(MemoryStore):
    finished: set[int] = Factory(set)
    registered: int = 0
    on_activation: Callable[[str, Activation], None] = field(default=lambda node, activation: None)
    on_landed: Callable[[Entry], None] = field(default=lambda entry: None)
    activations: list[tuple[str, Activation]] = Factory(list)
    outbox_reads: list[tuple[float, str]] = Factory(list)

    def apply(self, entries: Sequence[Entry]) -> frozenset[str]:
        landed = super().apply(entries)
        for entry in entries:
            if entry.actor_id in landed:
                self.on_landed(entry)
        return landed

    def lives(self, owner: str | None, incarnation: str) -> bool:
        return owner in self.leases and self.leases.until[str(owner)][0] == incarnation

    @property
    def leases(self) -> LiveLeases:
        assert isinstance(self.live, LiveLeases)
        return self.live

    def epoch(self, actor_id: str) -> int:
        return self.actors[actor_id].epoch

    def owner(self, actor_id: str) -> str | None:
        return self.actors[actor_id].owner


@define
class StorageOfNode:
    """What one node's connections to PostgreSQL have in common."""

    gate: Gate
    away: bool = False
    latency_s: float = 0.0
    facts_latency_s: float = 0.0
    stalled: Gate = Factory(Gate)
    """Closed while nothing answers but the lease, which has a connection of its own."""
    on_append: Callable[["LeasedJournal"], None] = lambda journal: None
    """Called with the journal before it writes, and may tell it what shall go wrong."""

    async def reach(self, latency_s: float, *, lease: bool = False) -> None:
        await self.gate.passed()
        if not lease:
            await self.stalled.passed()
        await trio.sleep(latency_s)
        await self.gate.passed()
        if self.away:
            raise StorageUnavailable("away")

    async def answered(self) -> None:
        """The answer comes as late as the question; what was asked is done meanwhile, whatever happens to who asked."""
        if self.latency_s:
            await trio.sleep(self.latency_s)
            await self.gate.passed()


class MemoryLeases:
    def __init__(self, store: ClusterStore, storage: StorageOfNode, lease_ms: int) -> None:
        self._store, self._storage, self._lease_s = store, storage, lease_ms / 1000

    async def register(self, name: str) -> tuple[Lease, Renewal]:
        await self._storage.reach(0, lease=True)
        self._store.registered += 1
        lease = Lease(name, f"incarnation-{self._store.registered}")
        self._extend(lease)
        return lease, _renewal(held=True)

    async def renew(self, lease: Lease) -> Renewal:
        await self._storage.reach(0, lease=True)
        incarnation, _ = self._store.leases.until.get(lease.name, ("", 0.0))
        if incarnation == lease.incarnation:
            self._extend(lease)
        return _renewal(held=incarnation == lease.incarnation)

    async def resign(self, lease: Lease) -> None:
        await self._storage.reach(0, lease=True)
        if self._store.leases.until.get(lease.name, ("",))[0] == lease.incarnation:
            self._store.leases.discard(lease.name)

    def _extend(self, lease: Lease) -> None:
        self._store.leases.until[lease.name] = lease.incarnation, trio.current_time() + self._lease_s


def _renewal(*, held: bool) -> Renewal:
    return Renewal(held, T0 + round(trio.current_time() * 1000))


class LeasedJournal(MemoryJournal):
    """Activates only for the incarnation that holds the lease; all of it goes through the node's storage."""

    def __init__(self, store: ClusterStore, node: str, storage: StorageOfNode, keeper: LeaseKeeper) -> None:
        super().__init__(store, node)
        self._storage, self._keeper, self._leased = storage, keeper, store

    async def create(self, actor_id: str, kind: str, mode: str, rules_version: int) -> Activation:
        self._keeper.current()
        await self._reach()
        return await super().create(actor_id, kind, mode, rules_version)

    async def activate(self, actor_id: str) -> Activation:
        lease = self._keeper.current()
        await self._reach()
        if self._leased.leases.until.get(lease.name, ("",))[0] != lease.incarnation:
            raise LeaseLost(lease.name)
        self.incarnation = lease.incarnation
        activation = await super().activate(actor_id)
        self._leased.activations.append((self.node, activation))
        self._leased.on_activation(self.node, activation)
        return activation

    async def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        await self._reach()
        self._storage.on_append(self)
        landed = await super().append(entries)
        await self._storage.answered()
        return landed

    async def _reach(self) -> None:
        await self._storage.reach(self._storage.latency_s)

    def __getattribute__(self, name: str) -> Any:
        call = super().__getattribute__(name)
        if name not in {"load", "read", "save_snapshot", "release", "set_aside", "let_back", "sleepers"}:
            return call

        async def through(*args: Any) -> Any:
            await self._reach()
            return await call(*args)

        return through


class MemoryFacts(NobodyElse):
    """Ann attacks and Dan defends; everybody is a member of every group."""

    def __init__(self, store: ClusterStore, storage: StorageOfNode) -> None:
        super().__init__()
        self._store, self._storage = store, storage
        self.looked_up: list[Sequence[str]] = []

    async def whereabouts(self, actor_ids: Sequence[str]) -> Sequence[Whereabouts]:
        self.looked_up.append(actor_ids)
        await self._storage.reach(self._storage.facts_latency_s)
        actors = self._store.actors
        return [self._where(actor_id) for actor_id in actor_ids if actor_id in actors]

    def _where(self, actor_id: str) -> Whereabouts:
        actor = self._store.actors[actor_id]
        return Whereabouts(actor_id, actor.owner if actor.owner in self._store.live else None, actor.last_seq)

    async def about_attack(self, attacker: str, defender: str, player_id: str) -> AttackFacts:
        return AttackFacts(
            attacker_exists=True, defender_exists=True, defender_open=True, player_in_defender=player_id == "dan"
        )

    async def members_among(self, group_ids: Sequence[str], players: Sequence[str]) -> Sequence[str]:
        await self._storage.reach(self._storage.facts_latency_s)
        return players


class MemoryOutbox:
    """The ID of a row is its place among all that were ever written."""

    def __init__(self, store: ClusterStore, storage: StorageOfNode, node: str) -> None:
        self._store, self._storage, self._node = store, storage, node

    async def read(self, limit: int) -> Sequence[News]:
        await self._storage.reach(0)
        self._store.outbox_reads.append((trio.current_time(), self._node))
        rows = [item for item in enumerate(self._store.outbox) if item[0] not in self._store.finished]
        return [self._news(number, actor_id, row) for number, (actor_id, row) in rows[:limit]]

    async def finish(self, ids: Sequence[int]) -> None:
        await self._storage.reach(0)
        self._store.finished.update(ids)

    def _news(self, number: int, actor_id: str, row: OutboxRow) -> News:
        return News(number, actor_id, row.seq, row.topic, row.payload)


class NothingElse(NobodyElse):
    """Everything of Redis but the bus and the directory, and what only real servers have."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[tuple[Any, ...]] = []

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()

    async def give_back(self, question: Any) -> None: ...

    async def record(self, *score: Any) -> None:
        self.recorded.append(score)

    async def prune(self, *days: int) -> int:
        return 0


# -- Redis ------------------------------------------------------------------------------------------------------------


def keep_all(_sender: str, _to: str, _items: Sequence[Item]) -> Fate:
    return 0.0


@define
class FaultyHub(MemoryHub):
    rule: Rule = keep_all
    heard: list[tuple[str, str, Item]] = Factory(list)
    """Sender, receiver and item, of everything that arrived."""
    in_order: bool = True
    """What comes late stays in the order of its sender."""

    def fates(self, sender: str, to: str, channel: str, packet: bytes) -> Sequence[float]:
        """By how many seconds it is late, each time that it arrives."""
        items = _items(channel, packet)
        fate = self.rule(sender, to, items)
        if fate is LOST:
            return ()
        late_s = (0.0, 0.0) if fate == TWICE else (fate,) if isinstance(fate, float) else (0.0,)
        self.heard += [(sender, to, item) for item in items] * len(late_s)
        return late_s

    def heard_items(self, kind: type, *, sender: str | None = None, to: str | None = None) -> list[Any]:
        return [
            item
            for who, whom, item in self.heard
            if type(item) is kind and sender in (None, who) and to in (None, whom)
        ]


def _items(channel: str, packet: bytes) -> list[Item]:
    between_nodes = channel == "nodes" or channel.startswith("node:")
    return decode_packet(packet[MARK_BYTES + STAMP_BYTES :])[1] if between_nodes else []


class FaultyBus(MemoryBus):
    def __init__(self, hub: FaultyHub, node: str, gate: Gate) -> None:
        super().__init__(hub)
        self._faulty, self.node, self._gate = hub, node, gate
        self._late: dict[str, deque[tuple[float, str, bytes]]] = {}
        self._nursery: trio.Nursery | None = None
        self._hanging: trio.Event | None = None
        self._hangs = False

    def hang_next(self) -> None:
        """The next round waits, and fails when told to; it reaches nobody."""
        self._hangs, self._hanging = True, trio.Event()

    def fail_hanging(self) -> None:
        assert self._hanging is not None
        self._hanging.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def publish(self, packets: Sequence[tuple[str, bytes]]) -> None:
        await self._gate.passed()
        await trio.lowlevel.checkpoint()
        if self._hangs and self._hanging is not None:
            self._hangs = False
            await self._hanging.wait()
            raise BusAway("hung")
        if not self.available:
            raise BusAway("cut")
        for channel, packet in packets:
            for bus in list(self._faulty.buses):
                assert isinstance(bus, FaultyBus)
                bus.arrive(self.node, channel, packet)

    def arrive(self, sender: str, channel: str, packet: bytes) -> None:
        if channel not in self._handlers or not self.available:
            return
        for late_s in self._faulty.fates(sender, self.node, channel, packet):
            self._deliver(sender, trio.current_time() + late_s, channel, packet)

    def _deliver(self, sender: str, at: float, channel: str, packet: bytes) -> None:
        if at <= trio.current_time() and sender not in self._late and not self._gate.closed:
            self.hear(channel, packet)
            return
        if not self._faulty.in_order:
            assert self._nursery is not None
            self._nursery.start_soon(self._deliver_alone, at, channel, packet)
            return
        if sender not in self._late:
            self._late[sender] = deque()
            assert self._nursery is not None
            self._nursery.start_soon(self._drain, sender)
        self._late[sender].append((at, channel, packet))

    async def _deliver_alone(self, at: float, channel: str, packet: bytes) -> None:
        await trio.sleep_until(at)
        await self._gate.passed()
        self.hear(channel, packet)

    async def _drain(self, sender: str) -> None:
        waiting = self._late[sender]
        while waiting:
            at, channel, packet = waiting.popleft()
            await trio.sleep_until(at)
            await self._gate.passed()
            self.hear(channel, packet)
        del self._late[sender]


class GatedDirectory(MemoryDirectory):
    def __init__(self, board: Board, settings: ClusterSettings, gate: Gate) -> None:
        super().__init__(board, settings)
        self._gate = gate

    async def meet(self, me: NodeInfo) -> Sequence[Sighting]:
        await self._gate.passed()
        return await super().meet(me)


@define
class WallClock:
    """A machine's, which is wrong by `wrong_by_ms`."""

    wrong_by_ms: int = 0

    def __call__(self) -> int:
        return T0 + round(trio.current_time() * 1000) + self.wrong_by_ms
