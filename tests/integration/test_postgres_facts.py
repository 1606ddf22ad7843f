"""Facts on a real PostgreSQL: what other actors are told about a player, a group, a battle."""

from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from gameserver.cluster.ports import (
    AttackFacts,
    BattleFacts,
    BattleKnown,
    BattleQuestion,
    Remembered,
    Whereabouts,
)
from gameserver.config import PostgresSettings
from gameserver.ids import new_id
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_facts import PostgresFacts
from tests.integration import rows

ADA, BOB, CYD = new_id(), new_id(), new_id()
NODE = "INSERT INTO nodes VALUES ($1, 'now', clock_timestamp() + $2 * interval '1 s', clock_timestamp())"
ACTOR = """
INSERT INTO actors (id, kind, mode, rules_version, seed, last_seq, owner, incarnation)
VALUES ($1, 'group', '', 1, 'seed', $2, $3, $4)
"""
KEY = (
    "INSERT INTO idempotency_keys (player_id, key, request_hash, actor_id, seq, answer) VALUES ($1, $2, $3, $4, $5, $6)"
)


@frozen
class World:
    """Ada owns the foxes, Bob the owls; Cyd is in both, and has left the bears, who are closed."""

    postgres: Postgres
    facts: PostgresFacts
    foxes: str
    owls: str
    bears: str
    battle: str


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    settings = PostgresSettings(url=database)
    async with open_postgres(settings, "test", 10_000) as postgres:
        foxes = await rows.group(postgres, ADA)
        owls = await rows.group(postgres, BOB)
        bears = await rows.group(postgres, CYD, closed=True)
        for group_id, player_id in ((foxes, ADA), (owls, BOB), (foxes, CYD), (owls, CYD)):
            await rows.member(postgres, group_id, player_id)
        await rows.member(postgres, bears, CYD, left_at_ms=2_000)
        battle = await rows.battle(postgres, foxes, owls, CYD)
        yield World(postgres, PostgresFacts(postgres), foxes, owls, bears, battle)


async def test_about_many_battles_in_order(world: World) -> None:
    foxes, owls = world.foxes, world.owls
    stranger = new_id()
    asked = [
        BattleQuestion(world.battle, ADA),
        BattleQuestion("no uuid", ADA),
        BattleQuestion(world.battle, BOB),
        BattleQuestion(new_id(), ADA),
        BattleQuestion(world.battle, CYD),
        BattleQuestion(world.battle, stranger),
    ]
    assert await world.facts.about_battles(asked) == [
        BattleKnown(BattleFacts(foxes, owls, ("attacker",), owner=True)),
        BattleKnown(None),
        BattleKnown(BattleFacts(foxes, owls, ("defender",), owner=True)),
        BattleKnown(None),
        BattleKnown(BattleFacts(foxes, owls, ("attacker", "defender"), owner=False)),
        BattleKnown(BattleFacts(foxes, owls, (), owner=False)),
    ]
    assert await world.facts.about_battles([]) == []


async def test_what_a_request_has_caused_before_is_among_the_facts(world: World) -> None:
    await world.postgres.fetch(KEY, ADA, "again", "hash", world.battle, 7, b"{}")
    asked = [
        BattleQuestion(world.battle, player, key) for player, key in ((ADA, "again"), (ADA, "new"), (BOB, "again"))
    ]
    asked.append(BattleQuestion(new_id(), ADA, "again"))
    known = await world.facts.about_battles(asked)
    before = Remembered("hash", world.battle, 7, b"{}")
    assert [each.remembered for each in known] == [before, None, None, before]
    assert [each.facts is not None for each in known] == [True, True, True, False]


async def test_an_actor_is_where_a_live_lease_says(world: World) -> None:
    await world.postgres.fetch(NODE, "alive", 60)
    await world.postgres.fetch(NODE, "dead", -1)
    owned, orphaned, forgotten, left, released = (new_id() for _ in range(5))
    owners = {
        owned: ("alive", "now", 7),
        orphaned: ("dead", "now", 5),
        forgotten: ("unheard of", "now", 4),
        left: ("alive", "before", 3),
        released: (None, "", 0),
    }
    for actor_id, (owner, incarnation, last_seq) in owners.items():
        await world.postgres.fetch(ACTOR, actor_id, last_seq, owner, incarnation)
    await world.postgres.fetch("UPDATE actors SET wake_at_ms = 10 WHERE id = $1", left)
    found = await world.facts.whereabouts([*owners, new_id(), "no uuid", owned.upper(), owned])
    assert sorted(found, key=lambda each: -each.last_seq) == [
        Whereabouts(owned, "alive", 7),
        Whereabouts(orphaned, None, 5),
        Whereabouts(forgotten, None, 4),
        Whereabouts(left, None, 3, has_timer=True),
        Whereabouts(released, None, 0),
    ]
    assert await world.facts.whereabouts([]) == []


async def test_about_an_attack(world: World) -> None:
    assert await world.facts.about_attack(world.foxes, world.owls, BOB) == AttackFacts(
        attacker_exists=True, defender_exists=True, defender_open=True, player_in_defender=True
    )
    assert await world.facts.about_attack(world.foxes, world.bears, CYD) == AttackFacts(
        attacker_exists=True, defender_exists=True, defender_open=False, player_in_defender=False
    )
    assert await world.facts.about_attack(new_id(), new_id(), ADA) == AttackFacts(
        attacker_exists=False, defender_exists=False, defender_open=False, player_in_defender=False
    )


async def test_members_among(world: World) -> None:
    found = await world.facts.members_among([world.foxes, world.bears], [ADA, BOB, CYD])
    assert sorted(found) == sorted([ADA, CYD])
    assert await world.facts.members_among([], [ADA]) == []
