"""The load test as a whole, small: its exit code and what it says of the nodes."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from loadtest import scenario, seating
from loadtest.__main__ import main
from tests.node.cluster import ALL_ROLES, settings_of_nodes, worlds_of
from tests.node.conftest import MakeSettings
from tests.node.modes import BRIEF
from tests.node.running import NodeThread

SMALL = ("--players", "8", "--battles", "2", "--seconds", "1", "--action-every", "0.2")


@pytest.fixture(scope="module")
def nodes(node_settings: MakeSettings) -> Iterator[list[NodeThread]]:
    """Two nodes that know a mode whose battles are soon over."""
    with ExitStack() as stack:
        settings = settings_of_nodes(node_settings(), [ALL_ROLES, ALL_ROLES])
        running = [stack.enter_context(NodeThread(each, [BRIEF])) for each in settings]
        trio.run(until_met, running)
        yield running


async def until_met(running: list[NodeThread]) -> None:
    async with worlds_of(running):
        pass


@pytest.fixture(autouse=True)
def brief(monkeypatch: Any) -> None:
    monkeypatch.setattr(scenario, "MODE", "brief")


def load(nodes: list[NodeThread], capsys: Any, monkeypatch: Any, *arguments: str) -> tuple[int, str]:
    """Its exit code and its report; `nodes`: those whose HTTP API it may use."""
    settings = nodes[0].settings
    monkeypatch.setenv("GAMESERVER_ADMIN_TOKEN", settings.admin.token)
    named = [argument for each in nodes for argument in ("--url", f"http://127.0.0.1:{each.node.http_port}")]
    code = main([*SMALL, *named, *arguments, "--database-url", settings.postgres.url])
    return code, capsys.readouterr().out


def test_half_of_the_players_sit_on_another_node_and_nothing_is_lost(nodes, capsys, monkeypatch) -> None:
    admin = f"http://127.0.0.1:{nodes[1].node.admin_port}"
    code, report = load(nodes, capsys, monkeypatch, "--admin-url", admin)
    assert code == 0, report
    assert "node-0          4 players" in report
    assert "node-1          4 players" in report
    assert "50.0% of the players sat on another node than their battle" in report
    assert "nothing was lost, doubled, altered or out of order" in report


def test_too_few_players_on_another_node_are_a_failure(nodes, capsys, monkeypatch) -> None:
    monkeypatch.setattr(seating, "LEAST_SHARE", 0.6)
    urls = [f"ws://127.0.0.1:{each.node.websocket_port}" for each in nodes]
    code, report = load(nodes[:1], capsys, monkeypatch, "--url", urls[0], "--url", urls[1])
    assert code == 1
    assert "FAILED: with 2 nodes" in report
    assert "nothing was lost, doubled, altered or out of order" in report
