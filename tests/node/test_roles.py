"""Nodes of one role each: the first takes requests, the second holds connections, the third owns the actors."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from gameserver.errors import Refused
from loadtest.node_environment import free_ports
from tests.node.cluster import (
    FREE,
    UNHURRIED,
    check_streams,
    has_bus,
    named,
    nodes_of,
    owner_of,
    seen_by,
    started,
    stopped,
    until_status,
    worlds_of,
)
from tests.node.conftest import MakeSettings
from tests.node.running import NodeThread
from tests.node.world import Witness, World, eventually, opened, request, world_of

ROLES = (("http",), ("websocket",), ("actors",))


@pytest.fixture(scope="module")
def nodes(node_settings: MakeSettings) -> Iterator[list[NodeThread]]:
    """All of them would listen on the same two ports, if they did."""
    http, websocket = free_ports(2)
    ports = {"http": {"port": http}, "websocket": {"port": websocket, **UNHURRIED}}
    with nodes_of(node_settings(guards=FREE, **ports), *ROLES) as running:
        yield running


@asynccontextmanager
async def game_of(nodes: list[NodeThread]) -> AsyncIterator[World]:
    """The game as clients see it: HTTP here, connections there; orders go to the node with the actors."""
    http, websocket, actors = nodes[0].node, nodes[1].node, nodes[-1].node
    ports = http.http_port, websocket.websocket_port, actors.admin_port
    settings = nodes[0].settings
    async with opened(ports, settings.postgres.url, settings.admin.token) as world, worlds_of(nodes):
        yield world


async def test_a_battle_is_made_over_one_node_played_and_watched_over_another_and_owned_by_the_third(nodes):
    async with game_of(nodes) as world:
        duel, seen = await world.duel(mode="tireless", each=2), [Witness() for _ in range(3)]
        ann, dan, eve = duel.attackers[0], duel.defenders[1], await world.person()
        async with (
            world.connected(ann, seen[0]) as first,
            world.connected(dan, seen[1]) as second,
            world.connected(eve, seen[2]) as third,
        ):
            for player in (first, second, third):
                await player.watch(duel.battle_id, after=0)
            for _ in range(10):
                await first.attack(duel.battle_id)
                await second.attack(duel.battle_id)
            await world.post(ann, f"{duel.path}/finish")
            for witness in seen:
                await witness.until("battle:finished")
            await check_streams(world, duel.battle_id, seen)
        assert await owner_of(world, duel.battle_id) == "node-2"


async def test_only_nodes_that_may_own_actors_do(nodes):
    async with game_of(nodes) as world:
        for _ in range(3):
            await world.duel(mode="tireless")
        owners = await world.rows("SELECT DISTINCT owner FROM actors WHERE owner IS NOT NULL")
        assert [row["owner"] for row in owners] == ["node-2"]


async def test_a_battles_address_is_that_of_the_node_with_the_connections(nodes):
    async with game_of(nodes) as world:
        duel = await world.duel()
        battle = await world.get(duel.attackers[0], duel.path)
        assert battle["websocket_url"] == world.websocket_url


async def test_nodes_listen_where_their_roles_want_them_and_nowhere_else(nodes):
    listening = [(bool(each.node.http_port), bool(each.node.websocket_port)) for each in nodes]
    assert listening == [(True, False), (False, True), (False, False)]
    async with game_of(nodes) as world:
        seen = await seen_by(world)
        assert [tuple(seen[f"node-{number}"]["roles"]) for number in range(3)] == list(ROLES)
        assert [bool(each["http_url"]) for each in seen.values()] == [True, False, False]
        assert [bool(each["websocket_url"]) for each in seen.values()] == [False, True, False]
        assert [each["owning"] for each in seen.values()] == [False, False, True]


async def test_every_node_answers_probes_and_operators_on_its_admin_port(nodes):
    async with game_of(nodes) as game:
        duel = await game.duel()
        for each in nodes:
            for path in ("/livez", "/readyz"):
                status, _, _ = await request(each.node.admin_port, "GET", path)
                assert status == 200
            async with world_of(each) as world:
                assert (await world.inspected(duel.battle_id))["actor"]["state"]["state"] == "running"
                assert (await world.stats())["node"]["name"] == each.settings.node.name


async def test_joins_begins_and_ends_over_the_connection_and_over_http_are_one(nodes):
    async with game_of(nodes) as world:
        duel, seen = await world.duel(mode="tireless", seated=False, begun=False), [Witness(), Witness()]
        async with (
            world.connected(duel.attackers[0], seen[0]) as ann,
            world.connected(duel.defenders[0], seen[1]),
        ):
            await world.post(duel.defenders[0], f"{duel.path}/join")
            joined = (await seen[1].until("battle:join"))["seq"]
            await ann.watch(duel.battle_id, after=joined - 1)
            await ann.begin(duel.battle_id)
            await world.post(duel.attackers[0], f"{duel.path}/finish")
            for witness in seen:
                await witness.until("battle:finished")
            await check_streams(world, duel.battle_id, seen, since=joined)


async def test_without_any_node_for_actors_commands_can_be_tried_again_and_then_go_on_where_they_were(node_settings):
    settings, actors = node_settings(guards=FREE, websocket=UNHURRIED), ExitStack()
    with nodes_of(settings, ("http",), ("websocket",)) as nodes, actors:
        owner = await started(actors, named(settings, 2, ("actors",)))
        async with game_of([*nodes, owner]) as world:
            duel, seen = await world.duel(mode="tireless"), Witness()
            async with world_of(nodes[1]) as beside, world.connected(duel.attackers[0], seen) as player:
                await player.watch(duel.battle_id, after=0)
                await player.attack(duel.battle_id)
                await stopped(actors)
                await until_status(beside, "node-2", "dead", "gone")
                with pytest.raises(Refused) as refused:
                    await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=7)
                assert (refused.value.code, refused.value.retryable) == ("owner_unreachable", True)
                with pytest.raises(Refused) as refused:
                    await world.duel()
                assert refused.value.retryable
                await started(actors, named(settings, 2, ("actors",)))
                await until_status(beside, "node-2", "alive")
                assert await has_bus(beside)
                await eventually(lambda: attacked(player, duel.battle_id), "the battle is played again")
                await check_streams(world, duel.battle_id, [seen])
                attacks = seen.of("battle:attack")
                assert len(attacks) == 2


async def attacked(player, battle_id: str) -> bool:
    try:
        await player.command("battle:attack", {"battleId": battle_id}, command_id=7)
    except Refused as refused:
        assert refused.retryable
        return False
    return True
