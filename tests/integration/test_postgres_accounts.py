"""Accounts on a real PostgreSQL: unique names, safe retries, sessions."""

from collections.abc import AsyncIterator

import pytest
import trio
from attrs import evolve

from gameserver.cluster.ports import Remembered
from gameserver.config import AuthSettings, PostgresSettings
from gameserver.errors import Refused
from gameserver.ids import new_id
from gameserver.net.ports import PlayerRow
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_accounts import PostgresAccounts
from tests.integration import rows


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    settings = PostgresSettings(url=database)
    async with open_postgres(settings, "test", 10_000) as postgres:
        yield postgres


@pytest.fixture
def accounts(postgres: Postgres) -> PostgresAccounts:
    return PostgresAccounts(postgres, AuthSettings())


def ada() -> PlayerRow:
    return PlayerRow(new_id(), "Ada", 42, 1_700_000_000_000)


async def test_a_player_is_created_once_and_found(accounts: PostgresAccounts) -> None:
    row = ada()
    assert await accounts.create_player(row, b"refresh", None, "hash") == row
    assert await accounts.player(row.id) == row
    assert await accounts.player(new_id()) is None


async def test_usernames_are_unique_ignoring_case(accounts: PostgresAccounts) -> None:
    await accounts.create_player(ada(), b"refresh", None, "hash")
    with pytest.raises(Refused, match="username_taken"):
        await accounts.create_player(evolve(ada(), username="aDA"), b"another", None, "hash")
    with pytest.raises(Refused, match="username_taken"):
        await accounts.create_player(evolve(ada(), username="aDA"), b"another", b"key", "hash")
    assert await accounts.refresh(b"another") is None


async def test_a_retry_under_the_same_key_gives_the_first_player(accounts: PostgresAccounts) -> None:
    first = await accounts.create_player(ada(), b"refresh", b"key", "hash")
    assert await accounts.create_player(ada(), b"refresh", b"key", "hash") == first
    with pytest.raises(Refused, match="idempotency_key_reused"):
        await accounts.create_player(ada(), b"refresh", b"key", "another hash")


async def test_twins_under_one_key_become_one_player(accounts: PostgresAccounts) -> None:
    created = []

    async def create() -> None:
        created.append(await accounts.create_player(ada(), b"refresh", b"key", "hash"))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(create)
    assert len(created) == 5
    assert len({row.id for row in created}) == 1


async def test_a_session_lives_until_it_is_revoked(accounts: PostgresAccounts) -> None:
    row = await accounts.create_player(ada(), b"refresh", None, "hash")
    session = await accounts.refresh(b"refresh")
    assert session is not None
    assert session[0] == row.id
    assert await accounts.refresh(b"refresh") == session
    assert await accounts.revoke(session[1])
    assert not await accounts.revoke(session[1])
    assert await accounts.refresh(b"refresh") is None


async def test_an_expired_refresh_token_opens_nothing(postgres: Postgres, accounts: PostgresAccounts) -> None:
    await accounts.create_player(ada(), b"refresh", None, "hash")
    await postgres.fetch("UPDATE refresh_tokens SET expires_at = now() - interval '1 s'")
    assert await accounts.refresh(b"refresh") is None


async def test_a_group_name_is_kept_for_one_group(postgres: Postgres, accounts: PostgresAccounts) -> None:
    owner, other = await rows.player(accounts, "owner"), new_id()
    first = await rows.group(postgres, owner)
    assert await accounts.reserve_group_name("Foxes", first)
    assert await accounts.reserve_group_name("foxes", first)
    assert not await accounts.reserve_group_name("FOXES", other)
    await postgres.fetch("UPDATE group_names SET reserved_at = now() - interval '2 minutes'")
    assert not await accounts.reserve_group_name("foxes", other), "the group exists: the name is its own for good"


async def test_a_reservation_without_a_group_lapses(postgres: Postgres, accounts: PostgresAccounts) -> None:
    assert await accounts.reserve_group_name("Foxes", new_id())
    assert not await accounts.reserve_group_name("Foxes", new_id())
    await postgres.fetch("UPDATE group_names SET reserved_at = now() - interval '2 minutes'")
    assert await accounts.reserve_group_name("Foxes", new_id())


async def test_outcomes_are_remembered_by_player_and_key(postgres: Postgres, accounts: PostgresAccounts) -> None:
    player_id, actor_id = new_id(), new_id()
    insert = "INSERT INTO idempotency_keys VALUES ($1, 'k', 'hash', $2, 7, $3)"
    await postgres.fetch(insert, player_id, actor_id, b"{}")
    assert await accounts.remembered(player_id, "k") == Remembered("hash", actor_id, 7, b"{}")
    assert await accounts.remembered(player_id, "another") is None
    assert await accounts.remembered(new_id(), "k") is None


async def test_what_a_player_achieved_is_the_total(postgres: Postgres, accounts: PostgresAccounts) -> None:
    player_id = await rows.player(accounts, "ada")
    assert await accounts.achieved(player_id) == 0
    for achieved in (5, None, 7):
        await rows.seat(postgres, new_id(), player_id, achieved=achieved)
    assert await accounts.achieved(player_id) == 12
