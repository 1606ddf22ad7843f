"""Nodes come and go in an orderly way while the game is played: actors move, and nobody loses anything by it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import trio

from gameserver.cluster.placement import place
from tests.node.cluster import (
    ALL_ROLES,
    FREE,
    STEADY,
    UNHURRIED,
    Ownerships,
    Roaming,
    all_ownerships,
    check_only_retryable,
    check_streams,
    duel_placed,
    duels_at_home,
    fighting,
    named,
    nodes_of,
    started,
    stopped,
    until_status,
    worlds_of,
)
from tests.node.fighters import Fighter, check_nothing_lost, until_fought
from tests.node.world import Duel, Witness, World, eventually, world_of

THREE = ["node-0", "node-1", "node-2"]


@asynccontextmanager
async def watching(worlds: Sequence[World], duel: Duel) -> AsyncIterator[list[Witness]]:
    """A spectator on each of the nodes, from the first event on."""
    seen = [Witness() for _ in worlds]
    async with AsyncExitStack() as stack:
        for world, witness in zip(worlds, seen, strict=True):
            player = await stack.enter_async_context(world.connected(await world.person(), witness))
            await player.watch(duel.battle_id, after=0)
        yield seen


@asynccontextmanager
async def all_fighting(worlds: Sequence[World], duels: Sequence[Duel]) -> AsyncIterator[list[Fighter]]:
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(fighting(worlds, duel)) for duel in duels]
        yield [fighter for fighters in found for fighter in fighters]


async def settled(world: World, names: Sequence[str]) -> dict[str, tuple[str | None, int]]:
    """Who owns what, once that is as placement over these nodes wants it. Idle actors may have no owner."""

    async def found() -> dict[str, tuple[str | None, int]] | None:
        owners = await all_ownerships(world)
        right = all(owner in (None, place(actor_id, names)) for actor_id, (owner, _) in owners.items())
        return owners if right else None

    owners: dict[str, tuple[str | None, int]] = await eventually(found, f"all actors are where they belong: {names}")
    return owners


async def test_a_node_that_joins_takes_its_share_at_a_measured_pace_and_nobody_notices(node_settings):
    paced = {**STEADY, "hand_over_limit": 1, "hand_over_pause_ms": 250}
    settings = node_settings(guards=FREE, websocket=UNHURRIED, cluster=paced)
    with ExitStack() as third, nodes_of(settings) as nodes:
        async with worlds_of(nodes) as worlds, AsyncExitStack() as stack:
            duels = [await duel_placed(worlds[0], on=f"node-{on}", number=3) for on in (2, 2, 2, 2, 1)]
            seen = [await stack.enter_async_context(watching(worlds, duel)) for duel in duels]
            async with all_fighting(worlds, duels) as fighters:
                moved = Ownerships(worlds[0], list(await all_ownerships(worlds[0])))
                async with moved.noted():
                    await started(third, named(settings, 2))
                    after = await settled(worlds[0], THREE)
                await until_fought(fighters, 3)
                counts = moved.counts_of("node-2")
                assert len(counts) >= 3, f"one after the other: {counts}"
                for actor_id in after:
                    moved.check_moves(actor_id, most=2)  # one of them, if need be, to where it should have been before
                async with Ownerships(worlds[0], list(after)).noted() as later:
                    await until_fought(fighters, 30)
                    await trio.sleep(0.5)
                assert all(len(noted) == 1 for noted in later.of.values()), "nothing moves any more"
            check_only_retryable(fighters)
            for duel, witnesses in zip(duels, seen, strict=True):
                await check_streams(worlds[0], duel.battle_id, witnesses)
                await check_nothing_lost(worlds[0], [each for each in fighters if each.battle_id == duel.battle_id])


async def test_a_battle_moves_also_when_players_on_its_next_node_keep_asking_the_one_that_gives_it_away(node_settings):
    settings = node_settings(guards=FREE, websocket=UNHURRIED, cluster={**STEADY, "settle_ms": 1_000})
    with nodes_of(settings, ALL_ROLES) as nodes, ExitStack() as second:
        async with worlds_of(nodes) as (giving,):
            duels = [await duel_placed(giving, on="node-1") for _ in range(4)]
            moved = Ownerships(giving, [duel.battle_id for duel in duels])
            async with moved.noted(), world_of(await started(second, named(settings, 1))) as taking:
                async with all_fighting([taking], duels) as fighters:
                    await eventually(lambda: taking_has(moved, duels), "all have moved", 5)
                    await until_fought(fighters, 5)
            for duel in duels:
                moved.check_moves(duel.battle_id, most=1)
            check_only_retryable(fighters)


def taking_has(moved: Ownerships, duels: Sequence[Duel]) -> bool:
    return all(moved.of[duel.battle_id][-1][0] == "node-1" for duel in duels)


async def test_a_battle_of_a_node_that_stops_is_played_on_at_once_on_another(node_settings):
    settings = node_settings(guards=FREE, websocket=UNHURRIED, cluster=STEADY)
    with nodes_of(settings, ("http", "websocket", "actors")) as nodes, ExitStack() as second:
        leaving = await started(second, named(settings, 1))
        async with worlds_of([*nodes, leaving]) as worlds:
            staying = worlds[0]
            duels = await duels_at_home(worlds, each=2)
            async with (
                watching([staying], duels[0]) as first,
                watching([staying], duels[1]) as other,
                all_fighting([staying], duels) as fighters,
            ):
                before = await all_ownerships(staying)
                moved = Ownerships(staying, [duel.battle_id for duel in duels])
                async with moved.noted(), trio.open_nursery() as nursery:
                    nursery.start_soon(stopped, second)
                    with trio.fail_after(4):
                        await until_fought(fighters, 20)
                await until_status(staying, "node-1", "dead", "gone")
                for duel in duels:
                    moved.check_moves(duel.battle_id, most=1)
                after = await all_ownerships(staying)
                assert {owner for owner, _ in after.values()} <= {"node-0", None}
                assert all(after[each.battle_id][0] == "node-0" for each in duels)
                assert sum(after[each.battle_id][1] - before[each.battle_id][1] for each in duels) == 1
            check_only_retryable(fighters)
            for duel, witnesses in zip(duels, (first, other), strict=True):
                await check_streams(staying, duel.battle_id, witnesses)
                await check_nothing_lost(staying, [each for each in fighters if each.battle_id == duel.battle_id])


async def test_all_nodes_can_be_restarted_one_after_the_other_under_play(node_settings):
    settings = node_settings(guards=FREE, websocket=UNHURRIED, cluster=STEADY)
    stacks = [ExitStack(), ExitStack()]
    with stacks[0], stacks[1]:
        nodes = [await started(stack, named(settings, number)) for number, stack in enumerate(stacks)]
        async with worlds_of(nodes) as worlds, AsyncExitStack() as later:
            duels = await duels_at_home(worlds, each=2)
            roaming = Roaming(worlds)
            async with all_fighting([roaming], duels) as fighters:
                for number, stack in enumerate(stacks):
                    roaming.worlds = [worlds[1 - number]]
                    await stopped(stack)
                    await until_fought(fighters, 5)
                    again = await started(stack, named(settings, number))
                    worlds[number] = await later.enter_async_context(world_of(again))
                    await until_status(worlds[1 - number], f"node-{number}", "alive")
                    await until_fought(fighters, 5)
            check_only_retryable(fighters, also=(1001, "Unreachable"))
            for duel in duels:
                await check_nothing_lost(worlds[0], [each for each in fighters if each.battle_id == duel.battle_id])
                async with watching(worlds, duel) as seen:
                    await check_streams(worlds[0], duel.battle_id, seen)
