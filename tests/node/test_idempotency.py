"""Whatever is asked twice under one identity takes effect once, and is answered twice in the same words."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from gameserver.errors import Refused
from gameserver.ids import new_id
from tests.node.running import NodeThread
from tests.node.world import Person, World, against, eventually, world_of

FREE = {"minimum_duration_ms": 0, "creation_interval_ms": 0}

Ask = Callable[[str], Awaitable[Any]]
"""The request under test, under the given key."""


@pytest.fixture(scope="module")
def node(node_settings):
    with NodeThread(node_settings(guards=FREE)) as running:
        yield running


async def found_group(world: World) -> Ask:
    person = await world.person()
    body = {"name": f"Group of {person.name}"}
    return lambda key: world.post(person, "/groups", body, key)


async def join_group(world: World) -> Ask:
    owner, joiner = await world.person(), await world.person()
    path = f"/groups/{await world.group(owner)}/join"
    return lambda key: world.post(joiner, path, key=key)


async def leave_group(world: World) -> Ask:
    owner, other = await world.person(), await world.person()
    path = f"/groups/{await world.group(owner, other)}/leave"
    return lambda key: world.post(owner, path, key=key)


async def start_battle(world: World) -> Ask:
    person, foe = await world.person(), await world.person()
    body = against({"attacker": await world.group(person), "defender": await world.group(foe)})
    return lambda key: world.post(person, "/battles", body, key)


async def join_battle(world: World) -> Ask:
    duel = await world.duel(seated=False, begun=False)
    return lambda key: world.post(duel.defenders[0], f"{duel.path}/join", key=key)


async def begin_battle(world: World) -> Ask:
    duel = await world.duel(begun=False)
    return lambda key: world.post(duel.attackers[0], f"{duel.path}/begin", key=key)


async def finish_battle(world: World) -> Ask:
    duel = await world.duel()
    return lambda key: world.post(duel.attackers[0], f"{duel.path}/finish", key=key)


REQUESTS = [found_group, join_group, leave_group, start_battle, join_battle, begin_battle, finish_battle]


@pytest.mark.parametrize("prepared", REQUESTS)
async def test_the_same_key_gets_the_same_answer_and_changes_nothing_more(node, prepared):
    async with world_of(node) as world:
        ask, key = await prepared(world), new_id()
        first = await ask(key)
        before = await settled(world)
        assert [await ask(key) for _ in range(3)] == [first] * 3
        assert await world.written() == before


@pytest.mark.parametrize("prepared", REQUESTS)
async def test_duplicates_that_run_at_the_same_time_get_one_answer(node, prepared):
    async with world_of(node) as world:
        ask, key = await prepared(world), new_id()
        answers = await at_once([ask] * 6, key)
        assert answers == [answers[0]] * 6
        assert await ask(key) == answers[0]


@pytest.mark.parametrize("prepared", REQUESTS)
async def test_an_answer_stays_the_same_whatever_happens_afterwards(node, prepared):
    """The request is repeated when the world has moved on; for battles that means that they are over."""
    async with world_of(node) as world:
        ask, key = await prepared(world), new_id()
        first = await ask(key)
        if "group_attacker" in first and first["state"] != "finished":
            await world.ordered(f"/admin/battles/{first['id']}/finish")
        assert await ask(key) == first


async def test_a_key_that_comes_back_with_another_request_is_refused(node):
    async with world_of(node) as world:
        person, key = await world.person(), new_id()
        group = await world.post(person, "/groups", {"name": f"Group of {person.name}"}, key)
        before = await settled(world)
        for path, body in (
            ("/groups", {"name": "Another name"}),
            (f"/groups/{group['id']}/leave", None),
            ("/battles", against({"attacker": group["id"], "defender": new_id()})),
        ):
            with pytest.raises(Refused, match="idempotency_key_reused"):
                await world.post(person, path, body, key)
        assert await world.written() == before


async def test_two_players_may_choose_the_same_key(node):
    async with world_of(node) as world:
        key = new_id()
        people = [await world.person() for _ in range(2)]
        groups = [await world.post(each, "/groups", {"name": f"Group of {each.name}"}, key) for each in people]
        assert groups[0]["id"] != groups[1]["id"]


async def test_a_refused_request_leaves_its_key_unused(node):
    async with world_of(node) as world:
        duel = await world.duel(seated=False, begun=False)
        key = new_id()
        with pytest.raises(Refused, match="side_missing"):
            await world.post(duel.attackers[0], f"{duel.path}/begin", key=key)
        await world.post(duel.defenders[0], f"{duel.path}/join")
        assert (await world.post(duel.attackers[0], f"{duel.path}/begin", key=key))["state"] == "running"


async def test_a_player_who_registers_again_under_a_key_is_the_same_player(node):
    async with world_of(node) as world:
        key, body = new_id(), {"username": f"Once {new_id()}"}
        ask: Ask = lambda key: world.http.post("/players", body, key=key)  # noqa: E731
        answers = [*await at_once([ask] * 5, key), await ask(key)]
        assert len({(answer["id"], answer["refresh_token"]) for answer in answers}) == 1
        for answer in answers:
            assert (await world.http.get("/players/me", token=answer["token"]))["id"] == answers[0]["id"]
        with pytest.raises(Refused, match="idempotency_key_reused"):
            await world.http.post("/players", {"username": "Somebody else"}, key=key)


async def at_once(asks: list[Ask], key: str) -> list[Any]:
    answers: list[Any] = []

    async def one(ask: Ask) -> None:
        answers.append(await ask(key))

    async with trio.open_nursery() as nursery:
        for ask in asks:
            nursery.start_soon(one, ask)
    return answers


async def settled(world: World) -> dict[str, int]:
    """What is written, once groups and battles have confirmed to each other all that they had to."""
    await eventually(lambda: nothing_is_on_its_way(world), "everything is confirmed")
    return await world.written()


async def nothing_is_on_its_way(world: World) -> bool:
    """A battle tells one group of its beginning and both of its end; a group's intention is confirmed once."""
    found = Counter(event["event"] for event in await world.journal())
    told = found["battle:created"] + 2 * found["battle:finished"]
    confirmed = found["group:battle-confirmed"] + found["group:battle-withdrawn"]
    return (found["battle:settled"], confirmed) == (told, found["group:battle-intended"])


# -- command IDs ------------------------------------------------------------------------------------------------------


async def test_a_repeated_command_gets_its_first_answer_over_the_same_and_over_a_new_connection(node):
    async with world_of(node) as world:
        duel = await world.duel()
        attack = "battle:attack", {"battleId": duel.battle_id}
        async with world.connected(duel.attackers[0]) as player:
            first = await player.command(*attack, command_id=5)
            assert await player.command(*attack, command_id=5) == first
            instance = player.hello.instance
        async with world.connected(duel.attackers[0], instance=instance) as player:
            assert player.hello.instance == instance
            assert await player.command(*attack, command_id=5) == first
            assert (await player.command(*attack, command_id=6))["seq"] > first["seq"]
        async with world.connected(duel.attackers[0]) as stranger:
            assert stranger.hello.instance != instance
        assert await attacks(world, duel.battle_id) == 2


async def test_commands_that_are_repeated_at_the_same_time_take_effect_once(node):
    async with world_of(node) as world:
        duel = await world.duel()
        async with world.connected(duel.attackers[0]) as one:
            async with world.connected(duel.attackers[0], instance=one.hello.instance) as other:
                answers: list[Any] = []

                async def attack(player: Any) -> None:
                    answers.append(await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=1))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(attack, one)
                    nursery.start_soon(attack, other)
        assert answers[0] == answers[1]
        assert await attacks(world, duel.battle_id) == 1


async def test_a_command_that_is_repeated_after_a_restart_gets_its_first_answer(node_settings):
    settings = node_settings()
    with NodeThread(settings) as running:
        async with world_of(running) as world:
            duel = await world.duel()
            person = duel.attackers[0]
            async with world.connected(person) as player:
                instance = player.hello.instance
                first = await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=1)
    with NodeThread(settings) as running:
        async with world_of(running) as world, world.connected(person, instance=instance) as player:
            assert await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=1) == first
            assert await attacks(world, duel.battle_id) == 1


async def test_a_repeated_join_counts_once_against_the_limit_of_joins(node):
    async with world_of(node) as world:
        joiner = await world.person()
        group = await world.group(joiner)
        battles = [await attacked(world, await world.person(), group) for _ in range(4)]
        async with world.connected(joiner) as player:
            first = await player.command("battle:join", {"battleId": battles[0]}, command_id=1)
            for _ in range(5):
                assert await player.command("battle:join", {"battleId": battles[0]}, command_id=1) == first
            for number, battle_id in enumerate(
                battles[1:3]
            ):  # 0 and 1: a number that was used elsewhere is another join
                await player.command("battle:join", {"battleId": battle_id}, command_id=number)
            with pytest.raises(Refused, match="join_rate_limited") as limited:
                await player.command("battle:join", {"battleId": battles[3]}, command_id=1)
            assert 0 < limited.value.retry_after_ms <= 60_000
            assert await player.command("battle:join", {"battleId": battles[0]}, command_id=1) == first


async def attacked(world: World, attacker: Person, defender: str) -> str:
    battle = await world.post(
        attacker, "/battles", against({"attacker": await world.group(attacker), "defender": defender})
    )
    battle_id: str = battle["id"]
    return battle_id


async def attacks(world: World, battle_id: str) -> int:
    return sum(event["event"] == "battle:attack" for event in await world.journal(battle_id))
