"""`gameserver up` as a stranger runs it: everything comes up, stops cleanly, and survives the loss of every process."""

import os
import signal
import socket
from pathlib import Path

from attrs import evolve

from gameserver.config import Settings
from tests.node.processes import Process, descendants, until_gone
from tests.node.world import World, eventually, opened, request

UP = ("-m", "gameserver", "up")


def free_ports(count: int) -> list[int]:
    """`up` has to know its ports before its node does."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def settings_in(folder: Path) -> Settings:
    plain = Settings()
    http, websocket, admin = free_ports(3)
    return evolve(
        plain,
        node=evolve(plain.node, data_dir=folder),
        http=evolve(plain.http, port=http),
        websocket=evolve(plain.websocket, port=websocket),
        admin=evolve(plain.admin, port=admin, token="an operator's token for tests"),
    )


def ports_of(settings: Settings) -> tuple[int, int, int]:
    return settings.http.port, settings.websocket.port, settings.admin.port


async def is_ready(settings: Settings) -> bool:
    status, _, answer = await request(settings.http.port, "GET", "/readyz")
    return status == 200 and answer["ready"]


async def test_up_greets_survives_the_loss_of_everything_and_stops_cleanly(tmp_path):
    settings = settings_in(tmp_path / "a folder")
    with Process(UP, settings, tmp_path) as game:
        output = await game.says("The game is running.")
        assert f"http://127.0.0.1:{settings.http.port}" in output
        assert f"ws://127.0.0.1:{settings.websocket.port}" in output
        assert await is_ready(settings)
        async with opened(ports_of(settings), "", settings.admin.token) as world:
            duel = await world.duel()
            async with world.connected(duel.attackers[0]) as player:
                instance = player.hello.instance
                first = await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=1)
        kill_everything(game)
    with Process(UP, settings, tmp_path) as game:
        await game.says("The game is running.")
        async with opened(ports_of(settings), "", settings.admin.token) as world:
            await same_battle(world, duel, instance, first)
        processes = descendants(game.pid)
        assert await game.terminated() == 0
        await until_gone(processes)
        assert "Traceback" not in game.log.read_text()
        assert "Stopped." in game.log.read_text()


async def same_battle(world: World, duel, instance: int, first) -> None:
    """The old token opens it, the old command has its old answer, and the next attack is the next event."""
    async with world.connected(duel.attackers[0], instance=instance) as player:
        assert await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=1) == first
        assert (await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=2))["seq"] > first["seq"]


def kill_everything(game: Process) -> None:
    """At one stroke, the databases too."""
    for pid in (*descendants(game.pid), game.pid):
        os.kill(pid, signal.SIGKILL)


async def test_up_starts_its_node_again_when_it_dies(tmp_path):
    settings = settings_in(tmp_path / "game")
    with Process(UP, settings, tmp_path) as game:
        await game.says("The game is running.")
        nodes = [pid for pid in descendants(game.pid) if is_node(pid)]
        for pid in nodes:
            os.kill(pid, signal.SIGKILL)
        await game.says("has ended unexpectedly")
        await until_gone(nodes)
        await eventually(lambda: answers(settings), "the node is there again")
        assert await game.terminated() == 0


def is_node(pid: int) -> bool:
    return b"gameserver\0node" in Path(f"/proc/{pid}/cmdline").read_bytes()


async def answers(settings: Settings) -> bool:
    try:
        return await is_ready(settings)
    except OSError:
        return False
