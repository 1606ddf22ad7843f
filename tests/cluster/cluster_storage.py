"""One durable store for several nodes on the virtual clock, as each reaches it, and what may go wrong on the way.

node.storage.away = True                    PostgreSQL cannot be reached from this node
node.storage.latency_s, .facts_latency_s    how long its answers take
node.storage.on_append = lambda journal: …  before each commit; what may fail: see tests/contracts/memory_journal.py
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import trio
import trio.lowlevel
from attrs import Factory, define, field

from gameserver.actors.ports import Activation, Entry, OutboxRow
from gameserver.cluster.ports import AttackFacts, Lease, News, Renewal, Whereabouts
from gameserver.errors import JournalError, LeaseLost, OutcomeUnknown, StorageUnavailable
from tests.actors.node import T0
from tests.cluster.cluster_machine import Gate
from tests.cluster.stage import NobodyElse
from tests.contracts.memory_journal import MemoryJournal, MemoryStore


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

    async def answered(self, lost: type[JournalError] = StorageUnavailable) -> None:
        """Half of the time goes by after what was asked has been done. So it is done, whatever becomes of who asked; he
        gets this error, if the answer is lost."""
        if self.latency_s:
            await trio.sleep(self.latency_s / 2)
            await self.gate.passed()
            if self.away:
                raise lost("away")


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

    def __init__(self, store: ClusterStore, node: str, storage: StorageOfNode, lease: Callable[[], Lease]) -> None:
        super().__init__(store, node)
        self._storage, self._lease, self._leased = storage, lease, store

    async def create(self, actor_id: str, kind: str, mode: str, rules_version: int) -> Activation:
        self._lease()
        await self._reach()
        return await super().create(actor_id, kind, mode, rules_version)

    async def activate(self, actor_id: str) -> Activation:
        lease = self._lease()
        await self._reach()
        if self._leased.leases.until.get(lease.name, ("",))[0] != lease.incarnation:
            raise LeaseLost(lease.name)
        self.incarnation = lease.incarnation
        activation = await super().activate(actor_id)
        self._leased.activations.append((self.node, activation))
        self._leased.on_activation(self.node, activation)
        await self._storage.answered()
        return activation

    async def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        await self._reach()
        self._storage.on_append(self)
        landed = await super().append(entries)
        await self._storage.answered(OutcomeUnknown)
        return landed

    async def _reach(self) -> None:
        await self._storage.reach(self._storage.latency_s / 2)

    def __getattribute__(self, name: str) -> Any:
        call = super().__getattribute__(name)
        if name not in {"load", "read", "save_snapshot", "release", "set_aside", "let_back", "sleepers"}:
            return call

        async def through(*args: Any) -> Any:
            await self._reach()
            answer = await call(*args)
            await self._storage.answered()
            return answer

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
        owner = actor.owner if self._store.lives(actor.owner, actor.incarnation) else None
        return Whereabouts(actor_id, owner, actor.last_seq, actor.wake_at_ms is not None)

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
