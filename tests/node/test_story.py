"""A battle from the first registration to the leaderboard, as its players, their group and a spectator see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import frozen

from gameserver.client.connection import Connection, Event
from tests.node.modes import TIRELESS
from tests.node.running import NodeThread
from tests.node.world import Person, Witness, World, against, eventually, world_of

FREE = {"creation_interval_ms": 0, "attack_cooldown_ms": 0, "minimum_duration_ms": 0}
PUSH_INTERVAL_MS = 400


@frozen
class Cast:
    """Ada attacks Bob's group; Cleo is in Ada's group and only looks on; Dan is a stranger who watches."""

    world: World
    people: dict[str, Person]
    sockets: dict[str, Connection]
    seen: dict[str, Witness]
    groups: dict[str, str]


@asynccontextmanager
async def cast_of(running: NodeThread) -> AsyncIterator[Cast]:
    """Everybody is registered, in a group, connected and greeted."""
    async with world_of(running) as world:
        people = {name: await world.person() for name in ("ada", "bob", "cleo", "dan")}
        seen = {name: Witness() for name in people}
        groups = {
            "attacker": await world.group(people["ada"], people["cleo"]),
            "defender": await world.group(people["bob"]),
        }
        async with (
            world.connected(people["ada"], seen["ada"]) as ada,
            world.connected(people["bob"], seen["bob"]) as bob,
            world.connected(people["cleo"], seen["cleo"]) as cleo,
            world.connected(people["dan"], seen["dan"]) as dan,
        ):
            yield Cast(world, people, {"ada": ada, "bob": bob, "cleo": cleo, "dan": dan}, seen, groups)


async def created(cast: Cast) -> str:
    """Ada starts a battle; everybody in the two groups hears of it."""
    battle = await cast.world.post(cast.people["ada"], "/battles", against(cast.groups))
    assert (battle["state"], battle["websocket_url"]) == ("pending", cast.world.websocket_url)
    for name in ("ada", "bob", "cleo"):
        payload = (await cast.seen[name].until("battle:created"))["payload"]
        assert (payload["battleId"], payload["initiator"]) == (battle["id"], cast.people["ada"].id)
        assert {side: payload[side] for side in cast.groups} == cast.groups
    battle_id: str = battle["id"]
    return battle_id


async def fought(cast: Cast, battle_id: str) -> dict[str, int]:
    """Dan watches, Bob joins, both fight, Ada ends it; gives the seq of the first event that each of them is due."""
    ada, bob, dan = (cast.sockets[name] for name in ("ada", "bob", "dan"))
    shown = await dan.watch(battle_id)
    assert shown["state"]["state"] == "pending"
    joined = await bob.join(battle_id)
    await ada.begin(battle_id)
    await ada.guard(battle_id)
    await bob.attack(battle_id)
    await ada.finish(battle_id)
    return {"ada": 2, "bob": joined["seq"], "dan": shown["seq"] + 1}


async def test_whoever_connects_is_greeted_shown_the_leaderboard_and_answered(node_settings):
    with NodeThread(node_settings()) as running:
        async with cast_of(running) as cast:
            ada = cast.sockets["ada"]
            assert (ada.hello.player_id, ada.hello.node) == (cast.people["ada"].id, running.settings.node.name)
            assert (await ada.ping())["serverTimeMs"] >= ada.hello.server_time_ms
            assert cast.seen["ada"].events == [{"event": "leaderboard", "payload": []}]


async def test_members_and_spectators_see_every_event_of_the_battle_in_the_journals_words_and_order(node_settings):
    with NodeThread(node_settings(guards=FREE)) as running:
        async with cast_of(running) as cast:
            battle_id = await created(cast)
            due = await fought(cast, battle_id)
            end = {name: (await cast.seen[name].until("battle:finished"))["seq"] for name in due}
            journal = await cast.world.journal(battle_id)
            assert [name for name in names_of(journal) if name != "battle:settled"] == [
                *("battle:created", "battle:join", "battle:join", "battle:begin"),
                *("battle:guard", "battle:attack", "battle:stop", "battle:finished"),
            ]
            for name, first in due.items():
                told = until(cast.seen[name].battle(battle_id), end[name])
                assert told == [e for e in until(journal, end[name]) if e["seq"] >= first], name
            assert cast.seen["cleo"].battle(battle_id) == []
            assert cast.seen["dan"].of("battle:created") == []


def names_of(events: list[Event]) -> list[str]:
    return [event["event"] for event in events]


def until(events: list[Event], seq: int) -> list[Event]:
    """Without what follows later, when the groups confirm that they know of the end."""
    return [event for event in events if event["seq"] <= seq]


async def test_what_a_battle_earned_is_on_the_leaderboard_in_the_lists_and_told_to_everybody(node_settings):
    with NodeThread(node_settings(guards=FREE)) as running:
        async with cast_of(running) as cast:
            battle_id = await created(cast)
            await fought(cast, battle_id)
            finished = (await cast.seen["bob"].until("battle:finished"))["payload"]
            (attack,) = cast.seen["bob"].of("battle:attack")
            assert finished["winnerGroupId"] == cast.groups["defender"]
            assert finished["score"] == attack["payload"]["damage"] > 0
            await on_the_leaderboard(cast, finished)
            await in_the_lists(cast, battle_id, finished)


async def on_the_leaderboard(cast: Cast, finished: dict[str, Any]) -> None:
    winner, bob = finished["winnerGroupId"], cast.people["bob"]
    name = (await cast.world.get(bob, f"/groups/{winner}"))["name"]
    place = {"rank": 1, "groupId": winner, "name": name, "score": finished["score"]}
    for witness in cast.seen.values():
        assert (await witness.until("leaderboard", 2))["payload"] == [place]
    for window in ("24h", "all"):
        shown = await cast.world.get(bob, f"/leaderboards?window={window}")
        assert shown == [{"rank": 1, "group_id": winner, "name": name, "score": finished["score"]}]


async def in_the_lists(cast: Cast, battle_id: str, finished: dict[str, Any]) -> None:
    ada, bob = cast.people["ada"], cast.people["bob"]
    battle = await cast.world.get(ada, f"/battles/{battle_id}")
    assert (battle["state"], battle["reason"], battle["score"]) == ("finished", "called", finished["score"])
    assert battle["winner_group_id"] == finished["winnerGroupId"]
    members = (await cast.world.get(ada, f"/battles/{battle_id}/members"))["items"]
    assert {(each["player_id"], each["role"], each["side"]) for each in members} == {
        (ada.id, "initiator", "attacker"),
        (bob.id, "participant", "defender"),
    }
    assert (await cast.world.get(bob, "/players/me/battles"))["items"] == [battle]
    assert (await cast.world.get(bob, "/players/me"))["achieved"] == finished["players"][bob.id]


async def test_however_fast_it_changes_the_leaderboard_is_pushed_at_most_once_per_interval(node_settings):
    settings = node_settings(guards=FREE, leaderboard={"push_interval_ms": PUSH_INTERVAL_MS})
    with NodeThread(settings, [TIRELESS]) as running:
        async with world_of(running) as world, world.connected(await world.person(), seen := Witness()):
            await seen.until("leaderboard")
            began = trio.current_time()
            scores = [await scored(world) for _ in range(8)]
            await eventually(lambda: shown_last(seen, scores), "all scores are shown")
            intervals = (trio.current_time() - began) * 1_000 / PUSH_INTERVAL_MS
            assert 1 <= len(seen.of("leaderboard")) - 1 <= intervals + 1


def shown_last(seen: Witness, scores: list[int]) -> bool:
    payload = seen.of("leaderboard")[-1]["payload"]
    return [place["score"] for place in payload] == sorted(scores, reverse=True)


async def scored(world: World) -> int:
    """The score of a battle that two fresh groups have fought just now."""
    duel = await world.duel(mode="tireless")
    async with world.connected(duel.attackers[0]) as player:
        await player.attack(duel.battle_id)
    await world.finish(duel)
    score: int = (await world.get(duel.attackers[0], duel.path))["score"]
    return score
