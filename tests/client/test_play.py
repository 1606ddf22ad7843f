import io

import pytest

from gameserver.client import play
from gameserver.config import Settings
from gameserver.errors import Refused, StartError
from gameserver.game.classic import Numbers, rules_with
from tests.node.running import NodeThread, settings_with

SHORT = rules_with("short", 1, Numbers(attacker_health=120, defender_health=120, energy_start=10, duration_ms=20_000))


@pytest.fixture
def game_url(database, redis_url, tmp_path):
    """A whole node, with a mode whose battles are over soon, but not before everybody has hit."""
    own = {"node": {"data_dir": tmp_path}, "postgres": {"url": database}, "redis": {"url": redis_url}}
    with NodeThread(settings_with(**own), [SHORT]) as running:
        yield f"http://127.0.0.1:{running.node.http_port}"


def test_a_demo_plays_to_the_end_and_a_person_may_leave(game_url, capsys, monkeypatch):
    assert play.run(Settings(), ["--url", game_url, "--mode", "short", "--name", "Zoë", "--demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Battle ") and line.endswith("mode short") for line in lines)
    assert "The battle begins!" in lines
    assert any(line.startswith("You hit the defenders for ") for line in lines)
    assert any(line.startswith("The ") and " win with " in line for line in lines)

    monkeypatch.setattr("sys.stdin", io.StringIO("help\ncheer nobody\nquit\n"))
    assert play.run(Settings(), ["--url", game_url, "--mode", "short"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert play.HELP in lines
    assert "No such player." in lines

    with pytest.raises(Refused, match="unknown_mode"):
        play.run(Settings(), ["--url", game_url, "--mode", "no such"])


def test_without_a_game_it_says_what_to_start():
    with pytest.raises(StartError, match="make run"):
        play.run(Settings(), ["--url", "http://127.0.0.1:1"])
