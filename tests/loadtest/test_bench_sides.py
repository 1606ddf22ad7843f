"""What this server is measured beside does what it is said to do."""

import asyncio
from typing import Any

import asyncpg
import pytest
from quart import Quart
from redis.asyncio import Redis

from gameserver.codec import converter, decode, encode
from gameserver.game.rules import Dice
from gameserver.ids import new_id
from gameserver.net.tokens import Tokens
from loadtest.bench import rules
from loadtest.bench.battles import MODE
from loadtest.bench.database import execute, write_rows
from loadtest.bench.query_per_step import SCHEMA, Joining, create_app
from loadtest.bench.scenarios.growth import AXES, WATCHERS, watches

BATTLE, ATTACKERS, DEFENDERS = new_id(), new_id(), new_id()
ANN, BEN, CLEO = new_id(), new_id(), new_id()
TOKENS = Tokens("a secret of these tests", 60)


SIZES = sorted({size for points in AXES.values() for size in points.values()}, key=str)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_as_many_see_a_command_whatever_the_size(size: Any) -> None:
    watched = watches(size)
    watchers = [0] * size.battles
    for battles in watched:
        assert len(set(battles)) == len(battles), "no connection watches a battle twice"
        for battle in battles:
            watchers[battle] += 1
    assert set(watchers) == {WATCHERS}
    players = range(min(size.connections, 2 * size.battles))
    assert all(place % size.battles in watched[place] for place in players)


def test_a_laden_state_has_the_size_in_its_name() -> None:
    sizes = {
        each.mode: len(encode(converter.unstructure(each.fresh()))) for each in (rules.with_10_kb, rules.with_100_kb)
    }
    assert sizes == {
        "bench-10kb": pytest.approx(10_240, rel=0.1),
        "bench-100kb": pytest.approx(102_400, rel=0.1),
    }


def test_an_attack_does_what_it_does_in_the_peer() -> None:
    assert (rules.rules.mode, rules.endless_classic.mode) == (MODE, rules.CLASSIC)
    state, dice = rules.rules.fresh(), Dice("", 0)
    for number, player in enumerate(["ann", "ben"] * 10):
        (event,) = rules.rules.decide(state, rules.Attack(player), 7, dice)
        assert (event.player_id, event.damage) == (player, 1 + number % 10)
        rules.rules.apply(state, event)
    assert rules.rules.view(state) == {"scores": {"ann": 50, "ben": 60}}


def test_the_original_way_joins_once_and_tells_each_member(database: str, redis_url: str) -> None:
    execute(database, "DROP TABLE group_members, battles, battle_members", SCHEMA)
    write_rows(database, "battles", [(BATTLE, ATTACKERS, DEFENDERS, "pending")])
    write_rows(database, "group_members", [(ATTACKERS, ANN), (DEFENDERS, BEN)])
    answers, heard = asyncio.run(_join(database, redis_url, [ANN, BEN, BEN, CLEO]))
    assert [answer.get("side", answer.get("code")) for answer in answers] == [
        "attacker",
        "defender",
        "already_joined",
        "not_in_exactly_one_group",
    ]
    told = [(channel.removeprefix("player:"), decode(event)["payload"]["player_id"]) for channel, event in heard]
    assert sorted(told) == sorted([(ANN, ANN), (ANN, BEN), (BEN, BEN)])


async def _join(database: str, redis_url: str, players: list[str]) -> tuple[list[Any], list[tuple[str, bytes]]]:
    """The answers, and what was published until the last of them."""
    async with asyncpg.create_pool(database) as pool, Redis.from_url(redis_url) as redis, redis.pubsub() as listening:
        await listening.psubscribe("player:*")
        app = create_app(Joining(pool, redis), TOKENS)
        answers = [await _call(app, player) for player in players]
        await redis.publish("player:", b"")
        heard = []
        while (message := await listening.get_message(timeout=5)) and message["channel"] != b"player:":
            if message["type"] == "pmessage":
                heard.append((message["channel"].decode(), message["data"]))
    return answers, heard


async def _call(app: Quart, player: str) -> Any:
    token = TOKENS.issue(TOKENS.claims(player, new_id()))
    headers = {"Authorization": f"Bearer {token}"}
    return await (await app.test_client().post(f"/battles/{BATTLE}/join", headers=headers)).get_json()
