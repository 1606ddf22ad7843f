"""Lists on a real PostgreSQL: stable pages in the promised order."""

from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from gameserver.config import AuthSettings, PostgresSettings
from gameserver.ids import new_id
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_accounts import PostgresAccounts
from gameserver.persistence.postgres_lists import PostgresLists
from tests.integration import rows


@frozen
class World:
    postgres: Postgres
    accounts: PostgresAccounts
    lists: PostgresLists


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    settings = PostgresSettings(url=database)
    async with open_postgres(settings, "test", 10_000) as postgres:
        yield World(postgres, PostgresAccounts(postgres, AuthSettings()), PostgresLists(postgres))


async def test_groups_come_newest_first_and_page_by_page(world: World) -> None:
    owner = await rows.player(world.accounts, "ada")
    made = [await rows.group(world.postgres, owner, at_ms) for at_ms in (1, 2, 2, 3)]
    await rows.group(world.postgres, owner, 4, closed=True)
    whole = await world.lists.groups(None, 10)
    assert [row.created_at_ms for row in whole] == [3, 2, 2, 1]
    assert {row.id for row in whole} == set(made)
    cursor = (str(whole[1].created_at_ms), whole[1].id)
    await rows.group(world.postgres, owner, 9)
    assert await world.lists.groups(cursor, 10) == whole[2:]
    assert await world.lists.group(made[0]) == whole[3]
    assert whole[3].meta == {"motto": "ha"}
    assert await world.lists.group(new_id()) is None


async def test_members_come_longest_standing_first_and_only_while_they_are_members(world: World) -> None:
    players = [await rows.player(world.accounts, name) for name in ("ada", "bob", "cyd")]
    group_id = await rows.group(world.postgres, players[0])
    await rows.member(world.postgres, group_id, players[1], 20)
    await rows.member(world.postgres, group_id, players[0], 10)
    await rows.member(world.postgres, group_id, players[2], 30, left_at_ms=40)
    members = await world.lists.group_members(group_id, None, 10)
    assert [(row.username, row.joined_at_ms) for row in members] == [("ada", 10), ("bob", 20)]
    assert await world.lists.group_members(group_id, ("10", players[0]), 10) == members[1:]


async def test_battles_by_state_by_group_and_by_player(world: World) -> None:
    ada, bob = [await rows.player(world.accounts, name) for name in ("ada", "bob")]
    foxes, owls, bears = [await rows.group(world.postgres, ada) for _ in range(3)]
    first = await rows.battle(world.postgres, foxes, owls, ada, 1)
    second = await rows.battle(world.postgres, bears, foxes, bob, 2, "running")
    third = await rows.battle(world.postgres, owls, bears, ada, 3)
    await rows.seat(world.postgres, second, bob)

    async def found(*asked: str | None) -> list[str]:
        return [row.id for row in await world.lists.battles(*asked, None, 10)]

    assert await found(None, None, None) == [third, second, first]
    assert await found("running", None, None) == [second]
    assert await found(None, foxes, None) == [second, first]
    assert await found("pending", foxes, None) == [first]
    assert await found(None, None, bob) == [second]
    assert [row.id for row in await world.lists.battles(None, None, None, ("3", third), 1)] == [second]
    row = await world.lists.battle(second)
    assert row is not None
    assert (row.group_attacker, row.group_defender, row.mode, row.state) == (bears, foxes, "classic", "running")
    assert (row.initiator_id, row.score, row.winner_group_id, row.finished_at_ms) == (bob, 0, None, None)


async def test_battle_members_come_in_the_order_of_joining(world: World) -> None:
    ada, bob = [await rows.player(world.accounts, name) for name in ("ada", "bob")]
    battle_id = await rows.battle(world.postgres, new_id(), new_id(), ada)
    await rows.seat(world.postgres, battle_id, bob, 1)
    await rows.seat(world.postgres, battle_id, ada, 2)
    members = await world.lists.battle_members(battle_id, None, 10)
    assert [(row.username, row.side, row.role) for row in members] == [
        ("bob", "attacker", "participant"),
        ("ada", "attacker", "participant"),
    ]
    assert await world.lists.battle_members(battle_id, ("1", bob), 10) == members[1:]


async def test_actors_for_operators(world: World) -> None:
    first, second = sorted((new_id(), new_id()))
    for actor_id in (first, second):
        insert = "INSERT INTO actors (id, kind, mode, rules_version, seed) VALUES ($1, 'battle', 'classic', 1, 's')"
        await world.postgres.fetch(insert, actor_id)
    listed = await world.lists.actors(None, 10)
    assert [row["id"] for row in listed] == [first, second]
    assert listed[0].keys() >= {"kind", "mode", "epoch", "last_seq", "owner", "wake_at_ms", "set_aside"}
    assert "seed" not in listed[0]
    assert await world.lists.actors((first,), 10) == listed[1:]
