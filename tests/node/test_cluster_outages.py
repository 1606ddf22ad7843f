"""Redis and PostgreSQL go away, for all nodes or for one of them: nobody fights over an actor, and nothing is lost."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import evolve

from gameserver.codec import decode
from gameserver.config import Settings
from gameserver.errors import Refused
from loadtest.chaos.relay import Relay
from tests.net.raw_client import connected, text
from tests.node.cluster import (
    FREE,
    SHORT_LEASES,
    STEADY,
    UNHURRIED,
    Ownerships,
    check_only_retryable,
    check_streams,
    duel_of,
    duels_on,
    fighting,
    has_bus,
    named,
    nodes_of,
    owner_of,
    running,
    until_status,
    worlds_of,
)
from tests.node.fighters import Fighter, check_nothing_lost, until_fought
from tests.node.processes import frozen
from tests.node.running import NodeThread
from tests.node.world import Duel, Person, Witness, World, eventually, request, rows

IMPATIENT = {"call_deadline_ms": 400}


async def until_bus(worlds: list[World], *, there: bool) -> None:
    for world in worlds:
        await eventually(lambda world=world: has_bus(world, there), f"the bus is {'there' if there else 'away'}")


# -- without Redis ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes(node_settings) -> Iterator[list[NodeThread]]:
    with nodes_of(node_settings(guards=FREE, websocket=UNHURRIED, redis=IMPATIENT, cluster=STEADY)) as both:
        yield both


async def test_without_redis_each_node_plays_its_own_battles_and_says_at_once_where_the_others_are_played(
    nodes, embedded_valkey
):
    async with worlds_of(nodes) as worlds:
        duel = await duel_of(worlds, "node-0")
        async with fighting(worlds, duel):
            pass
        person, payload = duel.attackers[0], {"battleId": duel.battle_id}
        async with worlds[0].connected(person) as here, worlds[1].connected(duel.defenders[0]) as there:
            with frozen(embedded_valkey.pid):
                await until_bus(worlds, there=False)
                for _ in range(5):
                    await here.attack(duel.battle_id)
                with trio.fail_after(0.5), pytest.raises(Refused) as refused:
                    await there.command("battle:attack", payload, command_id=7)
                assert (refused.value.code, refused.value.retryable) == ("owner_unreachable", True)
                with trio.fail_after(1):
                    problem = await raw_refusal(worlds[1], person, duel)
                    status, _, answer = await finish_over_http(worlds[1], person, duel)
                assert problem["code"] == "owner_unreachable"
                assert problem["retryable"] is True
                assert problem["websocketUrl"] == worlds[0].websocket_url
                assert (status, answer["code"], answer["retryable"]) == (503, "owner_unreachable", True)
                assert answer["websocket_url"] == worlds[0].websocket_url
            await until_bus(worlds, there=True)
            again = await answered(lambda: there.command("battle:attack", payload, command_id=7))
            assert (await there.command("battle:attack", payload, command_id=7)) == again
        assert await owner_of(worlds[0], duel.battle_id) == "node-0"


async def raw_refusal(world: World, person: Person, duel: Duel) -> Any:
    """The payload of the error, word for word."""
    async with connected(world.websocket_port, "/ws", f"Authorization: Bearer {person.token}") as client:
        await client.send(text(f'{{"id":1,"event":"battle:attack","payload":{{"battleId":"{duel.battle_id}"}}}}'))
        while True:
            _, data = await client.frame()
            if decode(data)["event"] == "error":
                return decode(data)["payload"]


async def finish_over_http(world: World, person: Person, duel: Duel) -> Any:
    port = int(world.http.url.rpartition(":")[2])
    headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": f"finish {duel.battle_id}"}
    return await request(port, "POST", f"{duel.path}/finish", **headers)


async def answered(ask: Callable[[], Any]) -> Any:
    """Its answer, once it is not refused with something that may be tried again."""

    async def once() -> Any:
        try:
            return await ask()
        except Refused as refused:
            assert refused.retryable
            return None

    return await eventually(once, "it is answered")


@pytest.mark.parametrize("is_wiped", [False, True])
async def test_without_redis_spectators_on_the_other_node_get_every_event_from_the_journal(
    nodes, embedded_valkey, is_wiped
):
    async with worlds_of(nodes) as worlds:
        for owner, duel in enumerate((await duels_on(worlds)).values()):
            async with worlds[1 - owner].connected(await worlds[0].person(), seen := Witness()) as spectator:
                await spectator.watch(duel.battle_id, after=0)
                async with worlds[owner].connected(duel.attackers[0]) as player:
                    with frozen(embedded_valkey.pid):
                        await until_bus(worlds, there=False)
                        for _ in range(3):
                            last = (await player.attack(duel.battle_id))["seq"]
                            await seen.until_seq(duel.battle_id, last)
                    if is_wiped:
                        embedded_valkey.restart()
                    await until_bus(worlds, there=True)
                    await player.attack(duel.battle_id)
                await worlds[owner].finish(duel)
                await seen.until("battle:finished")
                await check_streams(worlds[0], duel.battle_id, [seen])
                assert not spectator.lost


async def test_play_on_both_nodes_goes_on_by_itself_when_redis_was_killed_and_is_back_empty(nodes, embedded_valkey):
    async with worlds_of(nodes) as worlds:
        duel = await duel_of(worlds, "node-1", each=2)
        async with worlds[0].connected(await worlds[0].person(), seen := Witness()) as spectator:
            await spectator.watch(duel.battle_id, after=0)
            noted = Ownerships(worlds[0], [duel.battle_id])
            async with noted.noted(), fighting(worlds, duel) as fighters:
                os.kill(embedded_valkey.pid, signal.SIGKILL)
                try:
                    await until_bus(worlds, there=False)
                    await until_fought([each for each in fighters if each.acknowledged and is_local(each, duel)], 5)
                finally:
                    embedded_valkey.restart()
                await until_bus(worlds, there=True)
                await until_fought(fighters, 5)
            assert noted.of[duel.battle_id] == [("node-1", noted.of[duel.battle_id][0][1])]
            check_only_retryable(fighters)
            await check_nothing_lost(worlds[0], fighters)
            await check_streams(worlds[0], duel.battle_id, [seen])


def is_local(fighter: Fighter, duel: Duel) -> bool:
    """`fighting` puts the defenders on the second node."""
    return fighter.person in duel.defenders


# -- one node loses what the others have ------------------------------------------------------------------------------


@asynccontextmanager
async def two_nodes_on(
    settings: Settings, cut_off: Callable[[Settings, str], Settings], url: str
) -> AsyncIterator[tuple[Relay, list[World]]]:
    """node-0 reaches one of the servers by a link that can be cut; node-1 reaches everything as ever."""
    with ExitStack() as stack:
        link = stack.enter_context(Relay(url))
        nodes = [
            stack.enter_context(running(each)) for each in (cut_off(named(settings, 0), link.url), named(settings, 1))
        ]
        async with worlds_of(nodes) as (one, other):
            yield link, [evolve(one, database_url=other.database_url), other]


def with_redis(settings: Settings, url: str) -> Settings:
    return evolve(settings, redis=evolve(settings.redis, url=url))


def with_postgres(settings: Settings, url: str) -> Settings:
    return evolve(settings, postgres=evolve(settings.postgres, url=url))


async def test_a_node_that_loses_only_redis_neither_steals_nor_fights(node_settings):
    settings = node_settings(guards=FREE, websocket=UNHURRIED, redis=IMPATIENT, cluster=STEADY)
    async with two_nodes_on(settings, with_redis, settings.redis.url) as (link, worlds):
        duels = list((await duels_on(worlds)).values())
        noted = Ownerships(worlds[1], [duel.battle_id for duel in duels])
        async with noted.noted(), fighting(worlds, duels[0]) as first, fighting(worlds, duels[1]) as second:
            fighters = [*first, *second]
            link.cut()
            await eventually(lambda: has_bus(worlds[0], wanted=False), "node-0 has lost Redis")
            await until_status(worlds[1], "node-0", "dead")
            await until_fought([first[0], second[1]], 20)
            assert [noted.owners(duel.battle_id) for duel in duels] == [["node-0"], ["node-1"]], (
                "all keep what they have"
            )
            link.mend()
            await until_bus(worlds, there=True)
            await until_status(worlds[1], "node-0", "alive")
            await until_fought(fighters, 10)
        assert [noted.owners(duel.battle_id) for duel in duels] == [["node-0"], ["node-1"]]
        check_only_retryable(fighters)
        for theirs in (first, second):
            await check_nothing_lost(worlds[1], theirs)


async def test_two_nodes_that_want_the_same_unowned_battle_without_seeing_each_other_settle_it_at_once(node_settings):
    idle = {"idle_ms": 300}
    settings = node_settings(guards=FREE, websocket=UNHURRIED, redis=IMPATIENT, cluster=STEADY, actors=idle)
    async with two_nodes_on(settings, with_redis, settings.redis.url) as (link, worlds):
        duel = await worlds[1].duel(mode="tireless")
        await eventually(lambda: is_unowned(worlds[1], duel), "the idle battle has left memory")
        link.cut()
        await eventually(lambda: has_bus(worlds[0], wanted=False), "node-0 has lost Redis")
        await until_status(worlds[1], "node-0", "dead")
        noted = Ownerships(worlds[1], [duel.battle_id])
        players = [Fighter(duel.attackers[0], duel.battle_id), Fighter(duel.defenders[0], duel.battle_id)]
        async with noted.noted(), trio.open_nursery() as nursery:
            for fighter, world in zip(players, worlds, strict=True):
                nursery.start_soon(fighter.fight, world)
            await eventually(lambda: any(len(each.acknowledged) > 50 for each in players), "one of them owns it")
            nursery.cancel_scope.cancel()
        assert len(set(noted.owners(duel.battle_id))) == 1, noted.of
        assert sum(bool(each.acknowledged) for each in players) == 1
        check_only_retryable(players)
        await check_nothing_lost(worlds[1], players)


async def is_unowned(world: World, duel: Duel) -> bool:
    return await owner_of(world, duel.battle_id) is None


async def test_a_node_that_loses_only_postgres_gives_its_battles_up_and_gets_its_share_back(node_settings):
    quick = {"commit_deadline_ms": 800, "query_deadline_ms": 800, "connect_deadline_ms": 800}
    settings = node_settings(guards=FREE, websocket=UNHURRIED, cluster=STEADY, node=SHORT_LEASES, postgres=quick)
    async with two_nodes_on(settings, with_postgres, settings.postgres.url) as (link, worlds):
        duels = list((await duels_on(worlds)).values())
        before = (await until_status(worlds[1], "node-0", "alive"))["incarnation"]
        noted = Ownerships(worlds[1], [duel.battle_id for duel in duels])
        person, seen, beside = await worlds[1].person(), Witness(), Witness()
        async with worlds[0].connected(person, seen) as cut_off, worlds[1].connected(person, beside) as spectator:
            for player in (cut_off, spectator):
                await player.watch(duels[0].battle_id, after=0)
            async with noted.noted(), fighting(worlds, duels[0]) as first, fighting(worlds, duels[1]) as second:
                link.cut()
                await eventually(lambda: is_owned_by(worlds[1], duels[0], "node-1"), "node-1 has taken over")
                await eventually(
                    lambda: owns_nothing(worlds[1], "node-0"), "node-0, still there, says that it owns nothing"
                )
                await until_fought([*first, *second], 10)
                link.mend()
                await eventually(lambda: is_owned_by(worlds[1], duels[0], "node-0"), "node-0 has its share again")
                await until_fought([*first, *second], 10)
            assert noted.owners(duels[0].battle_id) == ["node-0", "node-1", "node-0"]
            assert noted.owners(duels[1].battle_id) == ["node-1"]
            noted.check_moves(duels[0].battle_id, most=2)
            assert (await until_status(worlds[1], "node-0", "alive"))["incarnation"] != before
            check_only_retryable([*first, *second])
            for theirs in (first, second):
                await check_nothing_lost(worlds[1], theirs)
            await check_streams(worlds[1], duels[0].battle_id, [beside])
        assert cut_off.lost.come_back, "without a journal to read from, there was no stream without a gap"
        async with worlds[0].connected(person, seen) as cut_off:
            await cut_off.watch(duels[0].battle_id, after=max(seen.seqs(duels[0].battle_id)))
            await check_streams(worlds[1], duels[0].battle_id, [seen])


async def is_owned_by(world: World, duel: Duel, name: str) -> bool:
    return await owner_of(world, duel.battle_id) == name


async def owns_nothing(world: World, name: str) -> bool:
    """As the node itself has said, which travels by another way than who has taken over, and may come later."""
    return not (await until_status(world, name, "alive", "suspected"))["owning"]


async def test_a_node_whose_lease_was_taken_drops_its_actors_and_goes_on_under_a_new_one(nodes):
    async with worlds_of(nodes) as worlds:
        duel = await duel_of(worlds, "node-0")
        before = (await until_status(worlds[1], "node-0", "alive"))["incarnation"]
        before_activations = await activations(worlds)
        async with fighting(worlds, duel) as fighters:
            await rows(
                worlds[0].database_url,
                "UPDATE nodes SET incarnation = 'another', lease_until = now() + interval '1 h' WHERE name = 'node-0'",
            )
            await eventually(lambda: is_another(worlds[1], before), "node-0 has a new lease")
            await until_fought(fighters, 10)
        assert await activations(worlds) > before_activations
        check_only_retryable(fighters)
        await check_nothing_lost(worlds[0], fighters)


async def activations(worlds: Sequence[World]) -> int:
    """On all nodes: a process that got another incarnation has no more right to its actors than any other."""
    return sum([(await world.stats())["actors"]["activated"] for world in worlds])


async def is_another(world: World, before: str) -> bool:
    node = await until_status(world, "node-0", "alive", "suspected")
    return node["owning"] and node["incarnation"] != before
