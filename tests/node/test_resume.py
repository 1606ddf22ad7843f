"""Who comes back with the last seq it saw gets exactly what it missed, and then everything live: no gap, no double."""

import trio

from gameserver.client.connection import Connection
from tests.node.modes import TIRELESS
from tests.node.running import NodeThread
from tests.node.world import Duel, Witness, World, world_of


async def attack_times(player: Connection, duel: Duel, times: int) -> int:
    """The seq of the last of them."""
    seq = 0
    for _ in range(times):
        seq = (await player.attack(duel.battle_id))["seq"]
    return seq


async def test_a_spectator_who_comes_back_gets_exactly_what_it_missed_and_then_what_follows(node_settings):
    with NodeThread(node_settings(), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel, spectator = await world.duel(mode="tireless"), await world.person()
            async with world.connected(duel.attackers[0]) as player:
                seen = Witness()
                async with world.connected(spectator, seen) as watching:
                    await watching.watch(duel.battle_id)
                    last = await attack_times(player, duel, 3)
                    await seen.until_seq(duel.battle_id, last)
                await attack_times(player, duel, 5)
                async with world.connected(spectator, seen) as watching:
                    resumed = await watching.watch(duel.battle_id, after=last)
                    assert resumed == {"seq": last + 5, "recovered": True}
                    await seen.until_seq(duel.battle_id, await attack_times(player, duel, 2))
            journal = [event for event in await world.journal(duel.battle_id) if event["seq"] > last - 3]
            assert [event for event in seen.battle(duel.battle_id) if event["seq"] > last - 3] == journal


async def test_resuming_in_the_thick_of_a_battle_leaves_neither_gap_nor_double(node_settings):
    with NodeThread(node_settings(websocket={"messages_per_second": 0}), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel, spectator = await world.duel(mode="tireless", each=2), await world.person()
            over = trio.Event()

            async def keep_attacking(player: Connection) -> None:
                while not over.is_set():
                    await player.attack(duel.battle_id)

            async with (
                world.connected(duel.attackers[0]) as one,
                world.connected(duel.defenders[0]) as other,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(keep_attacking, one)
                nursery.start_soon(keep_attacking, other)
                seqs = await come_and_go(world, duel, spectator, times=25)
                over.set()
            assert seqs == list(range(1, len(seqs) + 1))


async def come_and_go(world: World, duel: Duel, spectator, times: int) -> list[int]:
    """The seqs that a client saw who came again and again with the last one that it had."""
    seqs: list[int] = []
    for _ in range(times):
        seen = Witness()
        last = seqs[-1] if seqs else 0
        async with world.connected(spectator, seen) as watching:
            resumed = await watching.watch(duel.battle_id, after=last)
            assert resumed["recovered"]
            await seen.until_seq(duel.battle_id, resumed["seq"] + 2)
        seqs += seen.seqs(duel.battle_id)
    return seqs


async def test_what_was_missed_is_there_after_a_restart(node_settings):
    settings = node_settings()
    with NodeThread(settings, [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            async with world.connected(duel.attackers[0]) as player:
                last = await attack_times(player, duel, 4)
    with NodeThread(settings, [TIRELESS]) as running:
        async with world_of(running) as world:
            seen = Witness()
            async with world.connected(duel.defenders[0], seen) as player:
                assert (await player.watch(duel.battle_id, after=last - 3))["recovered"]
                await seen.until_seq(duel.battle_id, await attack_times(player, duel, 1))
            journal = await world.journal(duel.battle_id)
            assert seen.battle(duel.battle_id) == [event for event in journal if event["seq"] > last - 3]


async def test_what_is_no_longer_kept_is_not_pretended_to_be_complete(node_settings):
    with NodeThread(node_settings(), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            seen = Witness()
            async with world.connected(duel.attackers[0], seen) as player:
                last = await attack_times(player, duel, 3)
                await world.rows("DELETE FROM journal WHERE actor_id = $1 AND seq < $2", duel.battle_id, last)
                async with world.connected(await world.person(), seen := Witness()) as watching:
                    resumed = await watching.watch(duel.battle_id, after=1)
                    assert (resumed["seq"], resumed["recovered"]) == (last, False)
                    assert resumed["state"]["state"] == "running"
                    following = await attack_times(player, duel, 1)
                    await seen.until_seq(duel.battle_id, following)
                    assert seen.seqs(duel.battle_id) == [following]


async def test_an_after_that_lies_ahead_gets_the_present_state(node_settings):
    with NodeThread(node_settings(), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            async with world.connected(await world.person()) as watching:
                resumed = await watching.watch(duel.battle_id, after=1_000)
                assert resumed["seq"] < 1_000
                assert resumed["state"]["battleId"] == duel.battle_id


async def test_all_connections_of_a_player_get_the_events_of_the_battle_that_one_of_them_joined(node_settings):
    with NodeThread(node_settings(), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless", seated=False, begun=False)
            phone, tablet = Witness(), Witness()
            person = duel.defenders[0]
            async with world.connected(person, phone) as player, world.connected(person, tablet):
                joined = (await player.join(duel.battle_id))["seq"]
                await world.post(duel.attackers[0], f"{duel.path}/begin")
                last = await attack_times(player, duel, 2)
                for witness in (phone, tablet):
                    await witness.until_seq(duel.battle_id, last)
                    assert [e["event"] for e in witness.battle(duel.battle_id) if e["event"] != "battle:settled"] == [
                        "battle:join",
                        "battle:begin",
                        "battle:attack",
                        "battle:attack",
                    ]
                    assert witness.seqs(duel.battle_id) == list(range(joined, last + 1))
