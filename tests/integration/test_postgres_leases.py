"""Leases and retention on a real PostgreSQL."""

import time
from collections.abc import AsyncIterator

import pytest

from gameserver.actors.ports import Snapshot
from gameserver.config import PostgresSettings
from gameserver.errors import LeaseLost, StorageUnavailable
from gameserver.ids import new_id
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_journal import open_postgres_journal
from gameserver.persistence.postgres_leases import open_postgres_leases
from gameserver.persistence.postgres_retention import PostgresRetention
from tests.contracts.journal_contract import created, entry, key_row
from tests.integration.relay import opened_relay


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    async with open_postgres(PostgresSettings(url=database), "tests", 5_000) as opened:
        yield opened


async def test_a_lease_is_held_until_a_new_incarnation_comes(postgres: Postgres) -> None:
    async with open_postgres_leases(postgres, lease_ms=60_000) as leases:
        old, renewal = await leases.register("node-a")
        assert renewal.held
        assert (await leases.renew(old)).held
        new, _ = await leases.register("node-a")
        assert new.incarnation != old.incarnation
        assert not (await leases.renew(old)).held
        await leases.resign(old)
        assert (await leases.renew(new)).held
        await leases.resign(new)
        assert not (await leases.renew(new)).held


async def test_a_registration_without_an_answer_is_tried_again_under_the_same_incarnation(database: str) -> None:
    """PostgreSQL may come to the first one last: it must not depose what the node holds by then."""
    async with opened_relay(database) as relay:
        settings = PostgresSettings(url=relay.url, lease_deadline_ms=300)
        async with (
            open_postgres(settings, "tests", 5_000) as opened,
            open_postgres_leases(opened, lease_ms=60_000) as leases,
        ):
            first, _ = await leases.register("node-a")
            relay.mute(b"")
            with pytest.raises(StorageUnavailable):
                await leases.register("node-a")
            second, renewal = await leases.register("node-a")
            assert renewal.held
            assert second.incarnation != first.incarnation
            assert relay.heard(second.incarnation.encode()) == 2


async def test_postgresqls_clock(postgres: Postgres) -> None:
    async with open_postgres_leases(postgres, lease_ms=60_000) as leases:
        lease, renewal = await leases.register("node-a")
        assert abs(renewal.postgres_ms - time.time() * 1_000) < 100
        assert abs((await leases.renew(lease)).postgres_ms - time.time() * 1_000) < 100


async def test_only_the_incarnation_with_the_lease_activates(postgres: Postgres) -> None:
    async with open_postgres_leases(postgres, lease_ms=60_000) as leases:
        old, _ = await leases.register("node-a")
        async with open_postgres_journal(postgres, lambda: old) as journal:
            actor = await created(journal)
            new, _ = await leases.register("node-a")
            with pytest.raises(LeaseLost):
                await journal.activate(actor.actor_id)
        async with open_postgres_journal(postgres, lambda: new) as journal:
            assert (await journal.activate(actor.actor_id)).epoch == actor.epoch + 1


async def test_a_lease_ends_by_postgresqls_clock(postgres: Postgres) -> None:
    async with open_postgres_leases(postgres, lease_ms=0) as leases:
        lease, _ = await leases.register("node-a")
        async with open_postgres_journal(postgres, lambda: lease) as journal:
            with pytest.raises(LeaseLost):
                await created(journal)


async def test_retention_keeps_what_restores_an_actor(postgres: Postgres) -> None:
    async with open_postgres_leases(postgres, lease_ms=60_000) as leases:
        lease, _ = await leases.register("node-a")
        async with open_postgres_journal(postgres, lambda: lease) as journal:
            covered, bare = await created(journal), await created(journal)
            for number in range(1, 8):
                await journal.append([entry(covered, number, keys=[key_row("k", number)]), entry(bare, number)])
            await journal.save_snapshot(covered.actor_id, covered.epoch, Snapshot(5, 3, b"five"))
            retention = PostgresRetention(postgres, batch_rows=2)
            assert await retention.prune(journal_days=30, key_days=7) == 0
            await postgres.fetch("UPDATE journal SET committed_at = now() - interval '31 days' WHERE seq <> 1")
            await postgres.fetch("UPDATE idempotency_keys SET created_at = now() - interval '8 days' WHERE seq > 2")
            assert await retention.prune(journal_days=30, key_days=7) == 4 + 5
            assert [row.seq for row in (await journal.load(covered.actor_id)).rows] == [6, 7]
            assert len((await journal.load(bare.actor_id)).rows) == 7
            assert await journal.read(covered.actor_id, 5, 7, 10) is not None
            assert await journal.read(covered.actor_id, 4, 7, 10) is None
            assert await journal.read(covered.actor_id, 0, 7, 10) is None  # 1 is still there, but not what follows


async def test_retention_forgets_logins_that_expired_and_nodes_that_never_came_back(postgres: Postgres) -> None:
    insert = """
        INSERT INTO refresh_tokens (id, player_id, token_hash, expires_at)
        VALUES ($1, $1, $2, now() + $3 * interval '1 s')
    """
    await postgres.fetch(insert, new_id(), b"old", -1)
    await postgres.fetch(insert, new_id(), b"new", 86_400)
    gone = """
        INSERT INTO nodes (name, incarnation, lease_until, started_at)
        VALUES ($1, '', now() - $2 * interval '1 s', now())
    """
    await postgres.fetch(gone, "long ago", 2 * 86_400)
    await postgres.fetch(gone, "just now", 1)
    assert await PostgresRetention(postgres).prune(journal_days=30, key_days=7) == 2
    assert [row.token_hash for row in await postgres.fetch("SELECT token_hash FROM refresh_tokens")] == [b"new"]
    assert [row.name for row in await postgres.fetch("SELECT name FROM nodes")] == ["just now"]
