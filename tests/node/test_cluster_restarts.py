"""Nodes of a cluster as processes: killed, frozen, started again, one of them or all. What was acknowledged stays."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest
import trio

from gameserver.config import Settings
from tests.node.cluster import (
    FREE,
    SHORT_LEASES,
    STEADY,
    UNHURRIED,
    Ownerships,
    Roaming,
    as_process,
    check_streams,
    duel_of,
    duel_placed,
    fighting,
    named,
    owner_of,
    running,
    sees,
    started,
    stopped,
    until_status,
)
from tests.node.fighters import Fighter, check_nothing_lost, until_fought
from tests.node.processes import NodeProcess, until_clock
from tests.node.world import Duel, Witness, World, eventually, world_of

KEY = {"signing_key": "a key " * 8}


@pytest.fixture
def settings(node_settings) -> Settings:
    return node_settings(guards=FREE, websocket=UNHURRIED, node=SHORT_LEASES, auth=KEY, cluster=STEADY)


@asynccontextmanager
async def a_process_beside(settings: Settings) -> AsyncIterator[tuple[NodeProcess, list[World]]]:
    """node-0 is a process, node-1 is here; gives the process and both worlds."""
    with NodeProcess(as_process(settings, 0)) as process, ExitStack() as stack:
        here = await started(stack, named(settings, 1))
        async with await process.world() as there, world_of(here) as world:
            for each in (there, world):
                await eventually(lambda each=each: sees(each, 2), "both nodes are seen")
            yield process, [there, world]


async def test_a_killed_node_is_suspected_then_dead_and_the_others_play_its_battles_on(settings):
    async with a_process_beside(settings) as (process, (_, world)):
        worlds = [_, world]
        duel, brief = await duel_of(worlds, "node-0", each=2), await duel_of(worlds, "node-0", mode="brief")
        incarnation = (await until_status(world, "node-0", "alive"))["incarnation"]
        async with world.connected(await world.person(), seen := Witness()) as spectator:
            await spectator.watch(duel.battle_id, after=0)
            async with fighting([world], duel, more=10) as fighters:
                noted = Ownerships(world, [duel.battle_id])
                async with noted.noted():
                    process.kill()
                    await until_status(world, "node-0", "suspected")
                    await until_status(world, "node-0", "dead")
                    await until_fought(fighters, 10)
                noted.check_moves(duel.battle_id, most=1)
            await check_nothing_lost(world, fighters)
            await check_streams(world, duel.battle_id, [seen])
        await check_ended_by_its_timer_once(world, brief)
        with NodeProcess(as_process(settings, 0)) as again:
            async with await again.world() as there:
                await eventually(lambda: sees(there, 2), "the new process sees both")
                assert (await until_status(world, "node-0", "alive"))["incarnation"] != incarnation


async def check_ended_by_its_timer_once(world: World, brief: Duel) -> None:
    """Nobody asks for the battle while it is awaited."""
    query = "SELECT state FROM battles WHERE id = $1"

    async def is_finished() -> bool:
        return (await world.rows(query, brief.battle_id))[0]["state"] == "finished"

    await eventually(is_finished, "the timer fires although nobody asks for the battle")
    journal = await world.journal(brief.battle_id)
    (stop,) = [event["payload"] for event in journal if event["event"] == "battle:stop"]
    assert stop["reason"] == "time"
    assert [event["event"] for event in journal].count("battle:finished") == 1
    assert len(await world.rows("SELECT * FROM battle_scores WHERE battle_id = $1", brief.battle_id)) == 1


@pytest.mark.parametrize("placed_on", ["node-0", "node-1"])
async def test_a_node_that_is_killed_and_back_at_once_under_its_name_has_its_battles_played_on_from_everywhere(
    node_settings, placed_on
):
    """Also the battles that belong elsewhere, and that it had not handed over yet."""
    settings = node_settings(guards=FREE, websocket=UNHURRIED, auth=KEY, cluster={**STEADY, "settle_ms": 60_000})
    with NodeProcess(as_process(settings, 0)) as process:
        async with await process.world() as there:
            duel = await duel_placed(there, on=placed_on)
            async with fighting([there], duel) as fighters:
                pass
        with ExitStack() as stack:
            here = await started(stack, named(settings, 1))
            process.kill()
            with NodeProcess(as_process(settings, 0)) as again:
                async with await again.world() as there, world_of(here) as world:
                    for each in (there, world):
                        await eventually(lambda each=each: sees(each, 2), "both nodes are seen")
                    await fight_on(world, fighters)
                    await check_nothing_lost(world, fighters)


async def fight_on(world: World, fighters: list[Fighter]) -> None:
    """Until each has had some more answers."""
    async with trio.open_nursery() as nursery:
        for fighter in fighters:
            fighter.resting = False
            nursery.start_soon(fighter.fight, world)
        await until_fought(fighters, 10)
        for fighter in fighters:
            fighter.resting = True


async def test_when_all_nodes_are_killed_and_started_again_everything_goes_on_and_overdue_timers_fire_once(settings):
    async with two_processes(settings) as (processes, worlds):
        duels = [await duel_of(worlds, f"node-{number}", each=2) for number in (0, 1)]
        briefs = [await duel_of(worlds, f"node-{number}", mode="brief") for number in (0, 1)]
        shown = [await worlds[0].inspected(brief.battle_id) for brief in briefs]
        people = [(duel, person) for duel in duels for person in (*duel.attackers, *duel.defenders)]
        fighters = [Fighter(person, duel.battle_id) for duel, person in people]
        async with trio.open_nursery() as nursery:
            for fighter in fighters:
                nursery.start_soon(fighter.fight, Roaming(worlds))
            await until_fought(fighters, 10)
            for process in processes:
                process.kill()
            nursery.cancel_scope.cancel()
    await until_clock(max(each["actor"]["state"]["play"]["endsAt"] for each in shown))
    async with two_processes(settings) as (_, worlds):
        for brief in briefs:
            await check_ended_by_its_timer_once(worlds[0], brief)
        await fight_on(Roaming(worlds), fighters)
        for duel in duels:
            await check_nothing_lost(worlds[1], [each for each in fighters if each.battle_id == duel.battle_id])


@asynccontextmanager
async def two_processes(settings: Settings) -> AsyncIterator[tuple[list[NodeProcess], list[World]]]:
    """node-0 and node-1, once they see each other."""
    async with AsyncExitStack() as stack:
        processes = [stack.enter_context(NodeProcess(as_process(settings, number))) for number in (0, 1)]
        worlds = [await stack.enter_async_context(await process.world()) for process in processes]
        for world in worlds:
            await eventually(lambda world=world: sees(world, 2), "both nodes are seen")
        yield processes, worlds


async def test_a_node_that_was_frozen_for_longer_than_its_lease_finds_its_battles_elsewhere_and_rejoins(settings):
    async with a_process_beside(settings) as (process, (there, world)):
        duel = await duel_of([there, world], "node-0", each=2)
        incarnation = (await until_status(world, "node-0", "alive"))["incarnation"]
        noted = Ownerships(world, [duel.battle_id])
        async with (
            world.connected(await world.person(), seen := Witness()) as spectator,
            there.connected(await world.person(), frozen := Witness()) as beside,
        ):
            await spectator.watch(duel.battle_id, after=0)
            await beside.watch(duel.battle_id, after=0)
            async with noted.noted(), fighting([world], duel) as fighters:
                os.kill(process.pid, signal.SIGSTOP)
                try:
                    await until_status(world, "node-0", "dead")
                    await until_fought(fighters, 5)
                    assert await owner_of(world, duel.battle_id) == "node-1"
                finally:
                    os.kill(process.pid, signal.SIGCONT)
                back = await until_status(world, "node-0", "alive")
                await eventually(lambda: owns_again(world, incarnation), "the node has a new lease")
                assert back["admin_url"] == there.admin.url
                await eventually(lambda: is_owned_by(world, duel, "node-0"), "the battle is handed back")
                await until_fought(fighters, 10)
            await check_nothing_lost(world, fighters)
            await check_streams(world, duel.battle_id, [seen, frozen])
        noted.check_moves(duel.battle_id, most=2)
        assert noted.owners(duel.battle_id) == ["node-0", "node-1", "node-0"]
        async with fighting([there, world], duel) as fighters:
            pass


async def owns_again(world: World, incarnation: str) -> bool:
    node = await until_status(world, "node-0", "alive", "suspected")
    return node["owning"] and node["incarnation"] != incarnation


async def is_owned_by(world: World, duel: Duel, name: str) -> bool:
    return await owner_of(world, duel.battle_id) == name


async def test_a_node_that_comes_back_without_the_role_for_actors_leaves_its_battles_to_the_others(settings):
    async with a_process_beside(settings) as (process, (there, world)):
        duel = await duel_of([there, world], "node-0")
        async with fighting([world], duel) as fighters:
            pass
        process.kill()
        with ExitStack() as stack:
            await trio.to_thread.run_sync(stack.enter_context, running(named(settings, 0, ("http", "websocket"))))
            await fight_on(world, fighters)
            await stopped(stack)
        await check_nothing_lost(world, fighters)
