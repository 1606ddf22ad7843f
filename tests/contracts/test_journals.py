"""Every journal keeps the contract."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gameserver.actors.ports import Journal
from gameserver.config import PostgresSettings
from gameserver.errors import OutcomeUnknown, StorageUnavailable
from gameserver.ids import new_id
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_journal import open_postgres_journal
from gameserver.persistence.postgres_leases import open_postgres_leases
from tests.cluster.cluster_machine import Gate
from tests.cluster.cluster_storage import ClusterStore, LeasedJournal, LiveLeases, MemoryLeases, StorageOfNode
from tests.contracts.journal_contract import JournalContract, World, created, entry
from tests.contracts.memory_journal import MemoryJournal, MemoryStore


class MemoryWorld:
    def __init__(self) -> None:
        self.store = MemoryStore()

    async def journal(self, name: str) -> MemoryJournal:
        return MemoryJournal(self.store, name, new_id())

    async def expire(self, name: str) -> None:
        self.store.live.discard(name)

    async def table(self, name: str) -> Sequence[Mapping[str, Any]]:
        if name == "outbox":
            return [
                {"actor_id": actor_id, "topic": row.topic, "seq": row.seq, "payload": row.payload}
                for actor_id, row in self.store.outbox
            ]
        if name == "idempotency_keys":
            return list(self.store.key_rows())
        return list(self.store.projections.get(name, {}).values())


class ClusterWorld(MemoryWorld):
    """The same, as the nodes of tests/cluster/ and of the simulation reach it."""

    store: ClusterStore

    def __init__(self) -> None:
        self.store = ClusterStore(live=LiveLeases())

    async def journal(self, name: str) -> MemoryJournal:
        storage = StorageOfNode(Gate())
        lease, _ = await MemoryLeases(self.store, storage, lease_ms=60_000).register(name)
        return LeasedJournal(self.store, name, storage, lambda: lease)


class PostgresWorld:
    def __init__(self, postgres: Postgres, resources: AsyncExitStack) -> None:
        self.postgres, self.resources = postgres, resources

    async def journal(self, name: str) -> Journal:
        leases = await self.resources.enter_async_context(open_postgres_leases(self.postgres, lease_ms=60_000))
        lease, _ = await leases.register(name)
        return await self.resources.enter_async_context(open_postgres_journal(self.postgres, lambda: lease))

    async def expire(self, name: str) -> None:
        await self.postgres.fetch("UPDATE nodes SET lease_until = now() - interval '1 s' WHERE name = $1", name)

    async def table(self, name: str) -> Sequence[Mapping[str, Any]]:
        order = " ORDER BY id" if name == "outbox" else ""
        return [row._asdict() for row in await self.postgres.fetch(f"SELECT * FROM {name}{order}")]


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def world(self) -> World:
        return MemoryWorld()


class TestLeasedJournal(JournalContract):
    @pytest.fixture
    def world(self) -> World:
        return ClusterWorld()


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    async def world(self, database: str) -> AsyncIterator[World]:
        async with AsyncExitStack() as resources:
            settings = PostgresSettings(url=database)
            postgres = await resources.enter_async_context(open_postgres(settings, "tests", 5_000))
            yield PostgresWorld(postgres, resources)


async def test_memory_journal_fails_and_loses_on_request() -> None:
    journal = MemoryJournal()
    actor = await created(journal)
    journal.fail_next(StorageUnavailable("away"))
    with pytest.raises(StorageUnavailable):
        await journal.append([entry(actor, 1)])
    journal.lose_next(lands=True)
    with pytest.raises(OutcomeUnknown):
        await journal.append([entry(actor, 1)])
    assert (await journal.activate(actor.actor_id)).last_seq == 1


async def test_memory_journal_fences_a_lost_append_that_lands_late() -> None:
    journal = MemoryJournal()
    actor = await created(journal)
    lost = journal.lose_next(lands=False)
    with pytest.raises(OutcomeUnknown):
        await journal.append([entry(actor, 1)])
    again = await journal.activate(actor.actor_id)
    assert lost.land() == frozenset()
    assert await journal.append([entry(again, 1)]) == {actor.actor_id}
