"""Redis and PostgreSQL go and come back while the game is played; so does the node's right to own actors."""

import os
import signal
from contextlib import asynccontextmanager

import pytest
import redis
import trio

from gameserver.errors import Refused
from tests.node.cluster import check_only_retryable
from tests.node.fighters import Fighter, check_nothing_lost, until_fought
from tests.node.modes import TIRELESS
from tests.node.processes import descendants, frozen
from tests.node.running import NodeThread
from tests.node.world import Duel, Witness, World, eventually, request, world_of

UNHURRIED = {"messages_per_second": 0}
SHORT_LEASE = {"lease_ms": 800, "lease_renew_ms": 200}
QUICK = {"commit_deadline_ms": 500, "query_deadline_ms": 500, "connect_deadline_ms": 500, "lease_deadline_ms": 300}
AT_ONCE_S = 0.4
"""Less than any of these deadlines."""

DISK_FULL = """
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
END $$
"""


@asynccontextmanager
async def fighting(world: World, duel: Duel):
    """Everybody of the duel attacks, for as long as the block takes; gives them."""
    fighters = [Fighter(person, duel.battle_id) for person in (*duel.attackers, *duel.defenders)]
    async with trio.open_nursery() as nursery:
        for fighter in fighters:
            nursery.start_soon(fighter.fight, world)
        await until_fought(fighters, 3)
        yield fighters
        for fighter in fighters:
            fighter.resting = True


async def readiness(running: NodeThread) -> list[str]:
    _, _, answer = await request(running.node.http_port, "GET", "/readyz")
    reasons: list[str] = answer["reasons"]
    return reasons


# -- Redis ------------------------------------------------------------------------------------------------------------


async def won_by(world: World, duel: Duel) -> int:
    """The attackers' score in a duel that they win."""
    async with world.connected(duel.attackers[0]) as player:
        await player.attack(duel.battle_id)
    await world.finish(duel)
    score: int = (await world.get(duel.attackers[0], duel.path))["score"]
    return score


async def standing(world: World, duel: Duel, score: int) -> bool:
    answer = await world.get(duel.attackers[0], "/leaderboards?window=all")
    return any((row["group_id"], row["score"]) == (duel.groups["attacker"], score) for row in answer)


async def test_redis_can_be_wiped_during_play_and_is_filled_again(node_settings, redis_server):
    with NodeThread(node_settings(), [TIRELESS]) as running:
        async with world_of(running) as world:
            before = await world.duel(mode="tireless")
            score = await won_by(world, before)
            await eventually(lambda: standing(world, before, score), "the score is on the leaderboard")
            duel = await world.duel(mode="tireless")
            async with fighting(world, duel) as fighters:
                with redis.Redis.from_url(redis_server) as client:
                    client.flushall()
                await until_fought(fighters, 3)
            await eventually(lambda: standing(world, before, score), "the leaderboard is as it was")
            await eventually(lambda: filled_again(redis_server, running), "the leaderboard is in Redis")
            await check_nothing_lost(world, fighters)


def filled_again(redis_server: str, running: NodeThread) -> bool:
    with redis.Redis.from_url(redis_server) as client:
        return any(client.scan_iter(f"{running.settings.redis.key_prefix}leaderboard*"))


async def test_the_game_goes_on_without_redis_and_leaderboards_are_answered_all_the_same(
    node_settings, redis_server, embedded_valkey
):
    with NodeThread(node_settings(), [TIRELESS]) as running:
        async with world_of(running) as world, world.connected(await world.person(), seen := Witness()):
            os.kill(embedded_valkey.pid, signal.SIGKILL)
            try:
                await eventually(lambda: is_available(world, False), "Redis is known to be away")
                duel = await world.duel(mode="tireless")
                score = await won_by(world, duel)
                await eventually(lambda: standing(world, duel, score), "PostgreSQL answers")
                await eventually(lambda: any(e["payload"] for e in seen.of("leaderboard")), "everybody is told")
            finally:
                embedded_valkey.restart()
            await eventually(lambda: is_available(world, True), "Redis is back")
            await eventually(lambda: answered_by_redis(world, duel, score), "Redis answers again")


async def is_available(world: World, wanted: bool) -> bool:
    return (await world.stats())["redis"]["available"] is wanted


async def answered_by_redis(world: World, duel: Duel, score: int) -> bool:
    before = (await world.stats())["redis"]["leaderboards_answered_by_postgres"]
    is_right = await standing(world, duel, score)
    return is_right and (await world.stats())["redis"]["leaderboards_answered_by_postgres"] == before


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
async def test_postgres_may_restart_during_play_and_nothing_acknowledged_is_lost(node_settings, embedded_postgres, end):
    with NodeThread(node_settings(websocket=UNHURRIED), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless", each=2)
            async with fighting(world, duel) as fighters:
                await until_fought(fighters, 20)
                os.kill(embedded_postgres.pid, end)
                try:
                    await eventually(lambda: not embedded_postgres.alive, "PostgreSQL has ended")
                    await eventually(lambda: is_felt(world, fighters), "commands are refused, or wait")
                finally:
                    embedded_postgres.restart()
                await until_fought(fighters, 20)
            await check_nothing_lost(world, fighters)
            assert (await world.duel()).battle_id


async def is_felt(world: World, fighters: list[Fighter]) -> bool:
    return any(fighter.refusals for fighter in fighters) or (await world.stats())["commits"]["events_waiting"] > 0


async def test_without_postgres_for_longer_than_the_lease_the_node_says_that_it_is_not_ready_and_recovers(
    node_settings, embedded_postgres
):
    with NodeThread(node_settings(node=SHORT_LEASE, postgres=QUICK), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            async with world.connected(duel.attackers[0]) as player:
                acknowledged = await player.attack(duel.battle_id)
                os.kill(embedded_postgres.pid, signal.SIGKILL)
                try:
                    reasons = await eventually(lambda: readiness(running), "the node is not ready")
                    assert reasons == ["the node holds no lease: PostgreSQL cannot be reached"]
                    with pytest.raises(Refused) as refused:
                        await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=7)
                    assert refused.value.retryable
                    assert (await player.ping())["serverTimeMs"]
                finally:
                    embedded_postgres.restart()
                await eventually(lambda: is_ready(running), "the node is ready again")
                again = await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=7)
                assert again["seq"] == acknowledged["seq"] + 1


SAID_AT_ONCE = "storage_unavailable|actor_restarting"
"""The second to who has come just before the statement that hangs was given up."""


async def is_ready(running: NodeThread) -> bool:
    return not await readiness(running)


async def test_a_postgres_that_hangs_is_told_of_at_once_and_play_goes_on_by_itself(node_settings, embedded_postgres):
    with NodeThread(node_settings(node=SHORT_LEASE, postgres=QUICK, websocket=UNHURRIED), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless", each=2)
            async with fighting(world, duel) as fighters:
                with frozen(embedded_postgres.pid, *descendants(embedded_postgres.pid)):
                    await eventually(lambda: readiness(running), "the node is not ready")
                    async with world.connected(duel.attackers[0]) as player:
                        with trio.fail_after(AT_ONCE_S), pytest.raises(Refused, match=SAID_AT_ONCE):
                            await player.attack(duel.battle_id)
                await until_fought(fighters, 20)
            check_only_retryable(fighters)
            await check_nothing_lost(world, fighters)


async def test_a_full_disk_is_told_of_at_once_and_play_goes_on_by_itself(node_settings):
    """The node keeps its lease, and its battles in memory until their commits fail."""
    with NodeThread(node_settings(postgres=QUICK, websocket=UNHURRIED), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless", each=2)
            async with fighting(world, duel) as fighters:
                await world.rows(DISK_FULL)
                await world.rows("CREATE TRIGGER disk_full BEFORE INSERT ON journal EXECUTE FUNCTION disk_full()")
                await eventually(lambda: gave_up(world), "a commit was given up")
                async with world.connected(duel.attackers[0]) as player:
                    with trio.fail_after(AT_ONCE_S), pytest.raises(Refused, match="storage_unavailable"):
                        await player.attack(duel.battle_id)
                assert await is_ready(running)
                await world.rows("DROP TRIGGER disk_full ON journal")
                await until_fought(fighters, 20)
            check_only_retryable(fighters)
            await check_nothing_lost(world, fighters)


async def gave_up(world: World) -> bool:
    return (await world.stats())["commits"]["unavailable"] > 0


async def test_a_node_that_lost_its_lease_drops_its_actors_registers_anew_and_plays_on(node_settings):
    with NodeThread(node_settings(node={"lease_renew_ms": 500}, websocket=UNHURRIED), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            async with fighting(world, duel) as fighters:
                epoch = (await world.inspected(duel.battle_id))["actor"]["epoch"]
                name = running.settings.node.name
                usurper = (
                    "UPDATE nodes SET incarnation = 'another', lease_until = now() + interval '1 h' WHERE name = $1"
                )
                await world.rows(usurper, name)
                await eventually(lambda: readiness(running), "the node is not ready")
                await eventually(lambda: is_ready(running), "the node is ready again")
                await until_fought(fighters, 5)
                assert (await world.inspected(duel.battle_id))["actor"]["epoch"] > epoch
            await check_nothing_lost(world, fighters)


async def test_a_lease_that_ran_out_unnoticed_is_renewed_if_nobody_took_it(node_settings):
    with NodeThread(node_settings(websocket=UNHURRIED), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            async with fighting(world, duel) as fighters:
                await world.rows("UPDATE nodes SET lease_until = now() - interval '1 h'")
                held = "SELECT 1 FROM nodes WHERE lease_until > now()"
                await eventually(lambda: world.rows(held), "the lease is renewed")
                await until_fought(fighters, 5)
            assert (await world.duel()).battle_id
            await check_nothing_lost(world, fighters)
