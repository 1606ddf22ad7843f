"""`gameserver up` as a stranger runs it: everything comes up, stops cleanly, and survives the loss of every process."""

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
from attrs import evolve

from gameserver.banner import banner
from gameserver.client.errors import Disconnected
from gameserver.config import Settings, load_settings
from gameserver.errors import Refused
from gameserver.node_process import NodeProcess, numbered
from loadtest.node_environment import free_ports
from tests.node import hung_modes, modes
from tests.node.processes import Process, descendants, until_gone
from tests.node.world import World, eventually, opened, request

UP = ("-m", "gameserver", "up")
GREETING = "The game is running."
BACK_S = 30


def settings_in(folder: Path) -> Settings:
    plain = Settings()
    http, websocket, admin = free_ports(3, neighbours=1)  # for two nodes
    return evolve(
        plain,
        node=evolve(plain.node, data_dir=folder),
        http=evolve(plain.http, port=http),
        websocket=evolve(plain.websocket, port=websocket),
        admin=evolve(plain.admin, port=admin, token="an operator's token for tests"),
    )


def ports_of(settings: Settings) -> tuple[int, int, int]:
    return settings.http.port, settings.websocket.port, settings.admin.port


def two_nodes(settings: Settings) -> list[Settings]:
    return [numbered(settings, 0), numbered(settings, 1)]


async def is_ready(node: Settings) -> bool:
    try:
        status, _, answer = await request(node.http.port, "GET", "/readyz")
    except OSError:
        return False
    return status == 200 and answer["ready"]


async def until_ready(node: Settings) -> None:
    await eventually(lambda: is_ready(node), f"{node.node.name} is ready", BACK_S)


def nodes_of(game: Process) -> dict[str, int]:
    """The process of each node that runs, by the node's name."""
    found = {}
    for pid in descendants(game.pid):
        try:
            command, variables = (Path(f"/proc/{pid}/{each}").read_bytes() for each in ("cmdline", "environ"))
        except OSError:  # it has just ended
            continue
        if b"gameserver\0node" in command:
            named = next(each for each in variables.split(b"\0") if each.startswith(b"GAMESERVER_NODE_NAME="))
            found[named.partition(b"=")[2].decode()] = pid
    return found


# -- a whole game -------------------------------------------------------------------------------------------------


async def test_up_greets_survives_the_loss_of_everything_and_stops_cleanly(tmp_path):
    settings = settings_in(tmp_path / "a folder")
    with Process(UP, settings, tmp_path) as game:
        output = await game.says(GREETING)
        for node in two_nodes(settings):
            assert f"http://127.0.0.1:{node.http.port} " in output
            assert f"ws://127.0.0.1:{node.websocket.port} " in output
            assert f"http://127.0.0.1:{node.admin.port}\n" in output
            assert await is_ready(node)
        async with opened(ports_of(settings), "", settings.admin.token) as world:
            duel = await world.duel()
            async with world.connected(duel.attackers[0]) as player:
                instance = player.hello.instance
                first = await player.command("battle:attack", {"battleId": duel.battle_id}, command_id=1)
        kill_everything(game)
    with Process(UP, settings, tmp_path) as game:
        await game.says(GREETING)
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


async def test_a_node_that_dies_is_started_again_and_the_other_one_stays_as_it_is(tmp_path):
    settings = settings_in(tmp_path / "game")
    with Process(UP, settings, tmp_path) as game:
        await game.says(GREETING)
        before = nodes_of(game)
        assert before.keys() == {"node-0", "node-1"}
        os.kill(before["node-1"], signal.SIGKILL)
        await game.says("node-1 has ended unexpectedly (signal SIGKILL)")
        await until_gone([before["node-1"]])
        await until_ready(numbered(settings, 1))
        after = nodes_of(game)
        assert after["node-0"] == before["node-0"]
        assert after["node-1"] != before["node-1"]
        assert await game.terminated() == 0


async def test_a_node_whose_rules_hang_where_nothing_interrupts_them_is_killed_and_started_again(tmp_path):
    settings = settings_in(tmp_path / "game")
    settings = evolve(settings, node=evolve(settings.node, hang_limit_ms=2_000))
    (node,) = two_nodes(settings)[:1]
    with Process((*UP, "--nodes", "1", "--rules", hung_modes.__file__), settings, tmp_path) as game:
        await game.says(GREETING)
        before = nodes_of(game)
        async with opened(ports_of(node), "", settings.admin.token) as world:
            duel = await world.duel(mode="hanging")
            async with world.connected(duel.attackers[0]) as player:
                with pytest.raises((Disconnected, Refused)):
                    await player.command("battle:hang", {"battleId": duel.battle_id, "where": "decide, in C"})
            await game.says("node-0 hangs: no sign of life for 2 s; killing it")
            await until_gone(list(before.values()))
            await until_ready(node)
            async with world.connected(duel.attackers[0]) as player:
                await player.attack(duel.battle_id)
        assert game.log.read_text().count("hangs") == 1
        assert nodes_of(game).keys() == before.keys()
        assert await game.terminated() == 0


async def test_a_changed_source_file_starts_every_node_again(tmp_path):
    settings, rules = settings_in(tmp_path / "game"), tmp_path / "rules.py"
    shutil.copyfile(modes.__file__, rules)
    with Process((*UP, "--reload", "--rules", str(rules)), settings, tmp_path) as game:
        await game.says(GREETING)
        before = nodes_of(game)
        os.utime(rules, ns=(0, 0))
        await game.says("rules.py changed; starting again")
        await until_gone(list(before.values()))
        for node in two_nodes(settings):
            await until_ready(node)
        after = nodes_of(game)
        assert after.keys() == before.keys()
        assert not set(after.values()) & set(before.values())
        assert await game.terminated() == 0


async def test_up_gives_up_when_one_of_its_nodes_cannot_start(tmp_path):
    settings = settings_in(tmp_path / "game")
    with socket.create_server(("127.0.0.1", settings.websocket.port + 1)):
        with Process(UP, settings, tmp_path) as game:
            processes = descendants(game.pid)
            assert await game.ended() == 2
            await until_gone(processes)
    output = game.log.read_text()
    assert "node-1 could not start; its message stands above" in output
    assert GREETING not in output


async def test_a_number_of_nodes_that_makes_no_sense_is_refused(tmp_path):
    with Process((*UP, "--nodes", "0"), Settings(), tmp_path) as game:
        assert await game.ended() == 2
    assert "--nodes: '0': expected a whole number from 1" in game.log.read_text()


# -- the nodes of one machine -------------------------------------------------------------------------------------


def settings_of_child(environment: dict[str, str], number: int) -> Settings:
    node = NodeProcess(numbered(load_settings(environment), number), None, environment)
    return load_settings(node.environment)


def test_each_node_has_a_name_and_ports_of_its_own() -> None:
    node = settings_of_child({}, 1)
    assert (node.node.name, *ports_of(node)) == ("node-1", 8_001, 8_101, 8_201)


def test_a_name_that_was_set_is_numbered() -> None:
    assert settings_of_child({"GAMESERVER_NODE_NAME": "fox"}, 1).node.name == "fox-1"


def test_the_port_that_a_platform_sets_is_the_base_and_not_the_port_of_every_node() -> None:
    assert [settings_of_child({"PORT": "9000"}, number).http.port for number in (0, 1)] == [9_000, 9_001]


def test_any_port_stays_any_port_for_every_node() -> None:
    environment = {f"GAMESERVER_{section}_PORT": "0" for section in ("HTTP", "WEBSOCKET", "ADMIN")}
    assert ports_of(settings_of_child(environment, 1)) == (0, 0, 0)


def test_public_addresses_are_those_of_every_node() -> None:
    environment = {"GAMESERVER_HTTP_PUBLIC_URL": "https://game.example", "GAMESERVER_WEBSOCKET_PUBLIC_URL": "wss://x"}
    settings = load_settings(environment)
    assert settings_of_child(environment, 1).http.public_url == "https://game.example"
    lines = banner(two_nodes(settings), embedded=False).splitlines()
    assert [line.split() for line in lines if line.startswith("node-")] == [
        ["node-0", "https://game.example", "wss://x", "http://127.0.0.1:8200"],
        ["node-1", "https://game.example", "wss://x", "http://127.0.0.1:8201"],
    ]


@pytest.mark.parametrize("embedded", [True, False])
def test_only_data_that_is_ours_is_shown_where_it_lies(embedded: bool) -> None:
    assert ("/.gameserver/log" in banner([Settings()], embedded=embedded)) is embedded
