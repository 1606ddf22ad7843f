"""Nodes as real processes: killed without a word, or asked to stop. What was acknowledged stays, and play goes on."""

from pathlib import Path

import pytest
import trio

from gameserver.client.errors import Unreachable
from gameserver.ids import new_id
from tests.node import dying_node
from tests.node.fighters import Fighter, check_nothing_lost, until_fought
from tests.node.processes import NodeProcess, until_clock
from tests.node.running import NodeThread
from tests.node.world import Duel, Witness, World, against, eventually, world_of

UNHURRIED = {"messages_per_second": 0}


async def test_a_node_that_is_killed_in_mid_battle_loses_nothing_and_the_battle_goes_on(node_settings):
    settings = node_settings(websocket=UNHURRIED)
    with NodeProcess(settings) as process:
        async with await process.world() as world:
            duel, brief = await world.duel(mode="tireless", each=3), await world.duel(mode="brief")
            ends_at = (await world.inspected(brief.battle_id))["actor"]["state"]["play"]["endsAt"]
            fighters = [Fighter(person, duel.battle_id) for person in (*duel.attackers, *duel.defenders)]
            await fight_until_killed(world, fighters, process)
    await until_clock(ends_at)
    with NodeProcess(settings) as process:
        async with await process.world() as world:
            await check_nothing_lost(world, fighters)
            await the_battle_goes_on(world, duel, fighters)
            await the_timer_has_fired_once_and_late(world, brief)


async def fight_until_killed(world: World, fighters: list[Fighter], process: NodeProcess) -> None:
    async with trio.open_nursery() as nursery:
        for fighter in fighters:
            nursery.start_soon(fighter.fight, world)
        await until_fought(fighters, 30)
        process.kill()
        nursery.cancel_scope.cancel()


async def the_battle_goes_on(world: World, duel: Duel, fighters: list[Fighter]) -> None:
    """Repeated commands get their first answer, whether or not it ever arrived; new ones are carried out."""
    for fighter in fighters:
        async with world.connected(fighter.person, instance=fighter.instance) as player:
            for number in (max(fighter.acknowledged), fighter.next_id, fighter.next_id):
                answer = await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=number)
                assert fighter.acknowledged.setdefault(number, answer["seq"]) == answer["seq"]
    await check_nothing_lost(world, fighters)
    journal = await world.journal(duel.battle_id)
    attacks = sum(event["event"] == "battle:attack" for event in journal)
    assert attacks == sum(len(fighter.acknowledged) for fighter in fighters)
    assert (await world.inspected(duel.battle_id))["seq"] == journal[-1]["seq"]


async def the_timer_has_fired_once_and_late(world: World, brief: Duel) -> None:
    await eventually(lambda: is_finished(world, brief), "the timer fires although nobody asks for the battle")
    journal = await world.journal(brief.battle_id)
    (stop,) = [event["payload"] for event in journal if event["event"] == "battle:stop"]
    assert stop["reason"] == "time"
    assert stop["lateMs"] > 0
    assert sum(event["event"] == "battle:finished" for event in journal) == 1
    scores = await world.rows("SELECT * FROM battle_scores WHERE battle_id = $1", brief.battle_id)
    assert len(scores) == 1


async def is_finished(world: World, duel: Duel) -> bool:
    return (await world.get(duel.attackers[0], duel.path))["state"] == "finished"


async def test_a_node_that_is_killed_between_the_intention_and_the_battle_has_it_created_by_the_next(node_settings):
    settings = node_settings()
    key = new_id()
    with NodeProcess(settings, [str(Path(dying_node.__file__))]) as process:
        async with await process.world() as world:
            ada, bob = await world.person(), await world.person()
            groups = {"attacker": await world.group(ada), "defender": await world.group(bob)}
            with pytest.raises(Unreachable):
                await world.post(ada, "/battles", against(groups), key)
            assert await process.ended() == -9
            assert await world.rows("SELECT 1 FROM battles") == []
            assert (await world.journal(groups["attacker"]))[-1]["event"] == "group:battle-intended"
    with NodeThread(settings) as running:
        async with world_of(running) as world:
            (row,) = await eventually(lambda: world.rows("SELECT id::text FROM battles"), "the battle comes to be")
            battle = await world.post(ada, "/battles", against(groups), key)
            assert (battle["id"], battle["state"], battle["initiator"]) == (row["id"], "pending", ada.id)
            assert len(await world.rows("SELECT 1 FROM actors WHERE kind = 'battle'")) == 1
            names = [event["event"] for event in await world.journal(battle["id"])]
            assert (names.count("battle:created"), names.count("battle:join")) == (1, 1)
            await world.post(bob, f"/battles/{battle['id']}/join")
            assert (await world.post(ada, f"/battles/{battle['id']}/begin"))["state"] == "running"


async def test_a_node_that_is_asked_to_stop_says_so_releases_everything_and_exits_cleanly(node_settings):
    settings = node_settings()
    with NodeProcess(settings) as process:
        async with await process.world() as world:
            duel = await world.duel(mode="tireless")
            async with world.connected(duel.attackers[0], Witness()) as player:
                last = await player.attack(duel.battle_id)
                assert await process.terminated() == 0
                await eventually(lambda: player.lost, "the player is told")
                assert (player.lost.code, player.lost.come_back) == (1001, True)
            assert await world.rows("SELECT 1 FROM actors WHERE owner IS NOT NULL") == []
            assert await world.rows("SELECT 1 FROM nodes") == []
            (taken,) = await world.rows("SELECT seq FROM snapshots WHERE actor_id = $1", duel.battle_id)
            assert taken["seq"] >= last["seq"]
            assert "Traceback" not in process.log.read_text()


async def test_a_node_that_cannot_start_says_why_in_one_line(node_settings):
    settings = node_settings()
    with NodeProcess(settings) as process:
        http_port, _, _ = await process.ports()
        taken = node_settings(http={"port": http_port})
        with NodeProcess(taken) as second:
            assert await second.ended() == 2
            output = second.log.read_text()
            assert f"cannot listen on 127.0.0.1:{http_port}" in output
            assert "Traceback" not in output
