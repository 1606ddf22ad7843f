"""Leases of nodes, in PostgreSQL and in memory: one process of a name holds them, and for as long as it renews."""

from collections.abc import AsyncIterator

import pytest
import trio

from gameserver.cluster.ports import Leases
from gameserver.config import PostgresSettings
from gameserver.persistence.postgres import open_postgres
from gameserver.persistence.postgres_leases import open_postgres_leases
from tests.cluster.cluster_machine import Gate
from tests.cluster.cluster_storage import ClusterStore, LiveLeases, MemoryLeases, StorageOfNode

LEASE_MS = 60_000


@pytest.fixture(params=["postgres", "memory"])
async def leases(request: pytest.FixtureRequest) -> AsyncIterator[Leases]:
    if request.param == "memory":
        yield MemoryLeases(ClusterStore(live=LiveLeases()), StorageOfNode(Gate()), LEASE_MS)
        return
    settings = PostgresSettings(url=request.getfixturevalue("database"))
    async with open_postgres(settings, "tests", 5_000) as postgres:
        async with open_postgres_leases(postgres, LEASE_MS) as opened:
            yield opened


async def test_a_new_process_of_a_name_takes_its_lease(leases: Leases) -> None:
    old, renewal = await leases.register("node-a")
    assert renewal.held
    assert (await leases.renew(old)).held
    new, _ = await leases.register("node-a")
    assert new.incarnation != old.incarnation
    assert not (await leases.renew(old)).held
    assert (await leases.renew(new)).held


async def test_who_resigns_gives_up_what_is_his_and_no_more(leases: Leases) -> None:
    old, _ = await leases.register("node-a")
    new, _ = await leases.register("node-a")
    other, _ = await leases.register("node-b")
    await leases.resign(old)
    assert (await leases.renew(new)).held
    await leases.resign(new)
    assert not (await leases.renew(new)).held
    assert (await leases.renew(other)).held


async def test_the_clock_of_the_storage_goes_on(leases: Leases) -> None:
    lease, first = await leases.register("node-a")
    await trio.sleep(0.05)
    later = await leases.renew(lease)
    assert later.postgres_ms >= first.postgres_ms + 40 - first.error_ms - later.error_ms
