"""Two nodes: any of them takes any player, and nobody notices where a battle is."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import redis
import trio

from gameserver.client.connection import Connection
from gameserver.codec import decode
from gameserver.errors import Refused
from gameserver.ids import new_id
from tests.node.cluster import (
    FREE,
    UNHURRIED,
    check_streams,
    duel_of,
    duels_on,
    fighting,
    has_bus,
    lines_of,
    nodes_of,
    owner_of,
    seen_by,
    worlds_of,
)
from tests.node.conftest import MakeSettings
from tests.node.running import NodeThread
from tests.node.world import Duel, Person, Witness, World, against, eventually


@pytest.fixture(scope="module")
def nodes(node_settings: MakeSettings) -> Iterator[list[NodeThread]]:
    with nodes_of(node_settings(guards=FREE, websocket=UNHURRIED)) as running:
        yield running


@asynccontextmanager
async def connected_everywhere(
    worlds: list[World], person: Person
) -> AsyncIterator[tuple[list[Connection], list[Witness]]]:
    """A connection of the person to each node."""
    witnesses = [Witness() for _ in worlds]
    async with AsyncExitStack() as stack:
        players = [
            await stack.enter_async_context(world.connected(person, witness))
            for world, witness in zip(worlds, witnesses, strict=True)
        ]
        yield players, witnesses


# -- the view ---------------------------------------------------------------------------------------------------------


async def test_every_node_lists_all_nodes_in_the_same_words(nodes):
    async with worlds_of(nodes) as worlds:
        views = [await seen_by(world) for world in worlds]
        assert [{**each, "status": ""} for each in views[0].values()] == [
            {**each, "status": ""} for each in views[1].values()
        ]
        for number, world in enumerate(worlds):
            me = views[0][f"node-{number}"]
            assert (me["http_url"], me["websocket_url"], me["admin_url"]) == (
                world.http.url,
                world.websocket_url,
                world.admin.url,
            )
            assert me["incarnation"]
            assert me["owning"] is True
        assert views[0]["node-0"]["incarnation"] != views[0]["node-1"]["incarnation"]


async def test_any_node_names_the_address_of_a_battles_owner(nodes):
    async with worlds_of(nodes) as worlds:
        urls = {f"node-{number}": world.websocket_url for number, world in enumerate(worlds)}
        duels = [await worlds[number % 2].duel(mode="tireless") for number in range(8)]
        owners = [await owner_of(worlds[0], duel.battle_id) for duel in duels]
        assert set(owners) == urls.keys(), "both nodes own battles"
        for world in worlds:
            named = [(await world.get(duel.attackers[0], duel.path))["websocket_url"] for duel in duels]
            assert named == [urls[owner] for owner in owners]


# -- playing ----------------------------------------------------------------------------------------------------------


async def test_players_on_both_nodes_fight_in_one_battle(nodes: list[NodeThread]) -> None:
    async with worlds_of(nodes) as worlds:
        for owner, duel in (await duels_on(worlds)).items():
            ann, dan, seen = duel.attackers[0], duel.defenders[0], [Witness(), Witness()]
            async with worlds[0].connected(ann, seen[0]) as first, worlds[1].connected(dan, seen[1]) as second:
                for player in (first, second):
                    await player.watch(duel.battle_id)
                for _ in range(5):
                    await first.attack(duel.battle_id)
                    await second.attack(duel.battle_id)
                journal = await worlds[0].journal(duel.battle_id)
                for witness in seen:
                    await witness.until_seq(duel.battle_id, journal[-1]["seq"])
                    assert witness.battle(duel.battle_id) == journal[-10:], f"owned by {owner}"


async def test_everybody_on_both_nodes_sees_the_journals_very_bytes_from_the_first_event_to_the_last(nodes):
    async with worlds_of(nodes) as worlds:
        for duel in (await duels_on(worlds, each=4)).values():
            async with AsyncExitStack() as stack:
                seen = [Witness() for _ in range(6)]
                for number, witness in enumerate(seen):
                    world = worlds[number % 2]
                    player = await stack.enter_async_context(world.connected(await world.person(), witness))
                    await player.watch(duel.battle_id, after=1)
                async with fighting(worlds, duel, more=15):
                    pass
                await worlds[0].finish(duel)
                for witness in seen:
                    await witness.until("battle:finished")
                await check_streams(worlds[0], duel.battle_id, seen, since=2)


async def test_who_comes_back_to_the_other_node_in_the_thick_of_a_battle_finds_neither_gap_nor_double(nodes):
    async with worlds_of(nodes) as worlds:
        duel, spectator, seen = await duel_of(worlds, "node-0", each=2), await worlds[0].person(), Witness()
        async with fighting(worlds, duel):
            for turn in range(12):
                async with worlds[1 - turn % 3 % 2].connected(spectator, seen) as player:
                    after = max(seen.seqs(duel.battle_id), default=0)
                    resumed = await player.watch(duel.battle_id, after=after)
                    assert resumed["recovered"]
                    await seen.until_seq(duel.battle_id, resumed["seq"] + 3)
        async with worlds[1].connected(spectator, seen) as player:
            await player.watch(duel.battle_id, after=max(seen.seqs(duel.battle_id)))
            await check_streams(worlds[0], duel.battle_id, [seen])


# -- what reaches the connections on the other node -------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["node-0", "node-1"])
@pytest.mark.parametrize("way", ["http", "websocket"])
async def test_joining_on_one_node_subscribes_the_players_connections_on_all_nodes(nodes, owner, way):
    async with worlds_of(nodes) as worlds:
        duel = await pending_of(worlds, owner)
        async with connected_everywhere(worlds, duel.defenders[0]) as (players, seen):
            if way == "http":
                await worlds[1].post(duel.defenders[0], f"{duel.path}/join")
            else:
                await players[1].join(duel.battle_id)
            joined = await joined_at(worlds[0], duel.battle_id, duel.defenders[0].id)
            await worlds[0].post(duel.attackers[0], f"{duel.path}/begin")
            for player in players:
                await player.attack(duel.battle_id)
            await check_streams(worlds[0], duel.battle_id, seen, since=joined)


async def joined_at(world: World, battle_id: str, player_id: str) -> int:
    """The seq of the player's joining; what settles by itself may have come after it."""
    events = await world.journal(battle_id)
    return next(e["seq"] for e in events if e["event"] == "battle:join" and e["payload"]["playerId"] == player_id)


async def pending_of(worlds: list[World], owner: str) -> Duel:
    """A battle that this node owns, and that its defenders have not joined."""
    for _ in range(60):
        duel = await worlds[0].duel(mode="tireless", seated=False, begun=False)
        if await owner_of(worlds[0], duel.battle_id) == owner:
            return duel
    raise AssertionError(f"{owner} owns none")


@pytest.mark.parametrize("number", [0, 1])
async def test_members_on_both_nodes_hear_once_of_a_new_battle(nodes, number):
    async with worlds_of(nodes) as worlds:
        people = [await worlds[0].person() for _ in range(2)]
        groups = dict(zip(("attacker", "defender"), [await worlds[0].group(each) for each in people], strict=True))
        async with (
            connected_everywhere(worlds, people[0]) as (_, first),
            connected_everywhere(worlds, people[1]) as (_, second),
        ):
            battle = await worlds[number].post(people[0], "/battles", against(groups))
            for witness in (*first, *second):
                assert (await witness.until("battle:created"))["payload"]["battleId"] == battle["id"]
            await worlds[number].post(people[1], f"/battles/{battle['id']}/join")
            for witness in second:
                await witness.until("battle:join")
            assert [len(witness.of("battle:created")) for witness in (*first, *second)] == [1] * 4


async def test_a_logout_closes_the_connections_on_all_nodes_and_nobody_elses(nodes):
    async with worlds_of(nodes) as worlds:
        leaving, staying = await worlds[0].person(), await worlds[0].person()
        async with (
            connected_everywhere(worlds, leaving) as (gone, _),
            connected_everywhere(worlds, staying) as (kept, _),
        ):
            await worlds[0].http.request("DELETE", "/sessions", token=leaving.token)
            for player in gone:
                await eventually(lambda player=player: player.lost, "the connection is closed")
                assert not player.lost.come_back
            for player in kept:
                await player.ping()


async def test_an_operator_disconnects_a_player_from_all_nodes(nodes):
    async with worlds_of(nodes) as worlds:
        person = await worlds[0].person()
        async with connected_everywhere(worlds, person) as (players, _):
            assert await worlds[1].ordered(f"/admin/players/{person.id}/disconnect") == {"connections": 1}
            for player in players:
                await eventually(lambda player=player: player.lost, "the connection is closed")


async def test_begins_joins_and_ends_are_published_for_listeners_outside_as_the_journal_has_them(nodes, redis_server):
    async with worlds_of(nodes) as worlds:
        with redis.Redis.from_url(redis_server) as client, client.pubsub() as listener:
            listener.subscribe("battle:begin", "battle:join", "battle:finished")
            duels = await duels_on(worlds)
            for duel in duels.values():
                await worlds[0].finish(duel)
            expected = {
                line
                for duel in duels.values()
                for line in await lines_of(worlds[0], duel.battle_id)
                if decode(line)["event"] in ("battle:begin", "battle:join", "battle:finished")
            }
            heard = await trio.to_thread.run_sync(heard_by, listener, expected)
            assert sorted(each["data"] for each in heard if each["data"] in expected) == sorted(expected), "once each"
            assert all(decode(each["data"])["event"].encode() == each["channel"] for each in heard)


def heard_by(listener: Any, expected: set[bytes]) -> list[Any]:
    """Until all that is expected has come, and a moment longer, for what should not come."""
    heard: list[Any] = []
    while message := listener.get_message(timeout=5 if not expected <= {each["data"] for each in heard} else 0.2):
        if message["type"] == "message":
            heard.append(message)
    return heard


# -- retries ----------------------------------------------------------------------------------------------------------


async def test_a_command_that_is_sent_again_by_way_of_the_other_node_gets_its_first_answer(nodes):
    async with worlds_of(nodes) as worlds:
        for duel in (await duels_on(worlds)).values():
            person, payload = duel.attackers[0], {"battleId": duel.battle_id}
            async with worlds[0].connected(person) as player:
                instance = player.hello.instance
                first = [await player.command("battle:attack", payload, command_id=number) for number in (1, 2, 3)]
            async with worlds[1].connected(person, instance=instance) as player:
                again = [await player.command("battle:attack", payload, command_id=number) for number in (1, 2, 3)]
            assert again == first
            assert [decode(line)["event"] for line in await lines_of(worlds[0], duel.battle_id)].count(
                "battle:attack"
            ) == 3


async def test_requests_repeated_under_their_key_on_the_other_node_get_their_first_answer(nodes):
    async with worlds_of(nodes) as worlds:
        duel = await worlds[0].duel(seated=False, begun=False)
        owner, foe = await worlds[0].person(), duel.defenders[0]
        groups = {"attacker": await worlds[0].group(owner), "defender": duel.groups["defender"]}
        asked: list[Callable[[World, str], Any]] = [
            lambda world, key: world.post(owner, "/groups", {"name": f"Group {key}"}, key),
            lambda world, key: world.post(owner, "/battles", against(groups), key),
            lambda world, key: world.post(foe, f"{duel.path}/join", key=key),
        ]
        for ask in asked:
            key = new_id()
            first = await ask(worlds[0], key)
            before = await worlds[0].written()
            assert await ask(worlds[1], key) == first
            assert (await worlds[0].written())["battles"] == before["battles"]
            assert (await worlds[0].written())["battle_members"] == before["battle_members"]


async def test_refusals_of_the_other_node_say_what_those_of_this_node_say(nodes):
    async with worlds_of(nodes) as worlds:
        for duel in (await duels_on(worlds)).values():
            answers = []
            for world in worlds:
                async with world.connected(duel.attackers[0]) as player:
                    for ask in (player.begin, partial(player.cheer, target_id=new_id())):
                        with pytest.raises(Refused) as refused:
                            await ask(duel.battle_id)
                        answers.append((refused.value.code, refused.value.message, refused.value.retryable))
            assert answers[:2] == answers[2:]
            assert [code for code, _, _ in answers[:2]] == ["battle_already_begun", "not_team_mate"]


# -- lost messages ----------------------------------------------------------------------------------------------------


async def cut_the_bus(client: Any, worlds: list[World]) -> None:
    """All subscriptions break; gives once both nodes have theirs again."""
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await until_bus(worlds)


async def until_bus(worlds: list[World]) -> None:
    for world in worlds:
        await eventually(lambda world=world: has_bus(world), "the bus is back")


async def test_watchers_on_the_other_node_lose_nothing_while_the_bus_breaks_again_and_again(nodes, redis_server):
    async with worlds_of(nodes) as worlds:
        duel, seen = await duel_of(worlds, "node-0", each=2), [Witness(), Witness(), Witness()]
        async with AsyncExitStack() as stack:
            for number, witness in enumerate(seen):
                world = worlds[number and 1]
                player = await stack.enter_async_context(world.connected(await world.person(), witness))
                await player.watch(duel.battle_id, after=0)
            with redis.Redis.from_url(redis_server) as client:
                async with fighting(worlds, duel):
                    for _ in range(5):
                        await cut_the_bus(client, worlds)
            await check_streams(worlds[0], duel.battle_id, seen)


async def test_the_last_event_of_a_battle_reaches_watchers_on_the_other_node_although_the_bus_lost_it(
    nodes, redis_server
):
    async with worlds_of(nodes) as worlds:
        for number in range(4):
            await until_bus(worlds)
            owner = number % 2
            duel, seen = await duel_of(worlds, f"node-{owner}"), Witness()
            async with worlds[1 - owner].connected(await worlds[0].person(), seen) as player:
                await player.watch(duel.battle_id, after=0)
                with redis.Redis.from_url(redis_server) as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                    await worlds[owner].finish(duel)
                await seen.until("battle:finished")
                await check_streams(worlds[0], duel.battle_id, [seen])
