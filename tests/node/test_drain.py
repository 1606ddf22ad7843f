"""A node that leaves in good order: its battles and its players go on elsewhere, and nobody waits for long."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio

from gameserver.config import Settings
from tests.node.cluster import (
    FREE,
    STEADY,
    UNHURRIED,
    as_process,
    check_streams,
    duel_of,
    fighting,
    named,
    owner_of,
    sees,
    started,
    until_status,
)
from tests.node.fighters import check_nothing_lost, until_fought
from tests.node.processes import NodeProcess, environment_of
from tests.node.world import Witness, World, eventually, request, world_of

KEY = {"signing_key": "a key " * 8}


@pytest.fixture
def settings(node_settings) -> Settings:
    leisure = {"drain_spread_ms": 300, "drain_grace_ms": 1_500}
    return node_settings(guards=FREE, websocket=UNHURRIED, node=leisure, auth=KEY, cluster=STEADY)


@asynccontextmanager
async def two_nodes(settings: Settings) -> AsyncIterator[tuple[NodeProcess, World, World]]:
    """node-0 is a process, and will be drained; node-1 is here."""
    with NodeProcess(as_process(settings, 0)) as process, ExitStack() as stack:
        here = await started(stack, named(settings, 1))
        async with await process.world() as there, world_of(here) as world:
            for each in (there, world):
                await eventually(lambda each=each: sees(each, 2), "both nodes are seen")
            yield process, there, world


@pytest.mark.parametrize("asked", ["by SIGTERM", "there", "through the other node"])
async def test_a_drained_node_gives_its_battles_away_tells_its_players_where_to_go_and_ends(settings, asked):
    async with two_nodes(settings) as (process, there, world):
        duel = await duel_of([there, world], "node-0", each=2)
        async with there.connected(duel.attackers[0], told := Witness()) as player:
            await player.watch(duel.battle_id)
            async with world.connected(await world.person(), seen := Witness()) as spectator:
                await spectator.watch(duel.battle_id, after=0)
                async with fighting([world], duel, more=5) as fighters:
                    await ask(process, there, world, asked)
                    migrate = (await told.until("migrate"))["payload"]
                    assert migrate["url"] == world.websocket_url
                    assert 0 <= migrate["delayMs"] <= 300
                    # Given away it is by now; taken it is by the next command.
                    assert await owner_of(world, duel.battle_id) != "node-0"
                    await eventually(lambda: is_owned_by(world, duel.battle_id, "node-1"), "the battle is taken")
                    assert await process.ended() == 0
                    await until_fought(fighters, 5)
                await check_nothing_lost(world, fighters)
                await check_streams(world, duel.battle_id, [seen])
        await until_status(world, "node-0", "dead")


async def is_owned_by(world: World, battle_id: str, node: str) -> bool:
    return await owner_of(world, battle_id) == node


async def ask(process: NodeProcess, there: World, world: World, asked: str) -> None:
    if asked == "by SIGTERM":
        process.terminate()
    else:
        await (there if asked == "there" else world).ordered("/admin/nodes/node-0/drain")


async def test_a_node_that_is_drained_is_not_ready_and_takes_no_new_players(settings):
    async with two_nodes(settings) as (process, there, world):
        person = await world.person()
        async with there.connected(person, told := Witness()):
            await there.ordered("/admin/nodes/node-0/drain")
            await told.until("migrate")
            status, _, problem = await request((await process.ports())[0], "GET", "/readyz")
            assert (status, problem["reasons"]) == (503, ["the node is stopping"])
            assert await handshake_status(there, person.token) == 503
        assert await process.ended() == 0


async def handshake_status(world: World, token: str) -> int:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Authorization": f"Bearer {token}",
    }
    status, _, _ = await request(world.websocket_port, "GET", "/", **headers)
    return status


async def test_the_command_line_drains_a_node_through_another_one(settings):
    async with two_nodes(settings) as (process, _, world):
        admin_url = (await until_status(world, "node-1", "alive"))["admin_url"]
        done = await command(settings, "drain", "node-0", "--admin-url", admin_url)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "node-0 is gone."), done
        assert await process.ended() == 0
        again = await command(settings, "drain", "node-0", "--admin-url", admin_url)
        assert again.returncode == 2
        assert "node_not_found" in again.stderr


async def command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    def run() -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "gameserver", *arguments]
        return subprocess.run(
            line, env=environment_of(settings), capture_output=True, text=True, timeout=30, check=False
        )

    return await trio.to_thread.run_sync(run)
