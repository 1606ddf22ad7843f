"""Settings: from the environment into one frozen object, or a clear word about what is wrong."""

import os
import socket

import pytest

from gameserver.__main__ import main
from gameserver.cli.node import named
from gameserver.config import Settings, describe, load_settings
from gameserver.errors import ConfigError


def test_without_any_variable_the_defaults_are_in_force() -> None:
    assert load_settings({}) == Settings()


def test_the_real_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMESERVER_WEBSOCKET_PORT", "8111")
    assert load_settings(os.environ).websocket.port == 8111


def test_names_that_the_world_knows_are_taken_and_our_own_win() -> None:
    urls = {"DATABASE_URL": "postgresql://db", "REDIS_URL": "redis://r", "PORT": "9000", "GAMESERVER_ENV": "production"}
    settings = load_settings(urls | {"GAMESERVER_HTTP_PORT": "9001"})
    assert (settings.postgres.url, settings.redis.url) == ("postgresql://db", "redis://r")
    assert (settings.http.port, settings.node.env) == (9001, "production")


def test_lists_are_separated_by_commas() -> None:
    settings = load_settings({"GAMESERVER_HTTP_ALLOWED_ORIGINS": "https://a.example, https://b.example"})
    assert settings.http.allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GAMESERVER_HTTP_PORT", "eighty", "expected a whole number from 0 to 65535 (port)"),
        ("PORT", "70000", "expected a whole number from 0 to 65535 (port)"),
        ("GAMESERVER_ACTORS_MAILBOX_LIMIT", "0", "expected a whole number from 1"),
        ("GAMESERVER_ACTORS_IDLE_MS", "²", "expected a whole number from 1"),
        ("GAMESERVER_ENV", "prod", "expected one of development, production"),
        ("GAMESERVER_NODE_ROLES", "http,oracle", "expected some of actors, http, websocket"),
        ("GAMESERVER_NODE_ROLES", "", "expected some of actors, http, websocket"),
        ("GAMESERVER_NODE_LEASE_MS", "600", "expected at least twice GAMESERVER_NODE_LEASE_RENEW_MS"),
        ("GAMESERVER_NODE_LEASE_MS", "1000", "GAMESERVER_POSTGRES_LEASE_DEADLINE_MS=1000: expected less than"),
        ("GAMESERVER_POSTGRES_LEASE_DEADLINE_MS", "2000", "expected less than GAMESERVER_NODE_LEASE_MS=2000"),
        ("GAMESERVER_HTPP_PORT", "1", "is no setting; `gameserver config` lists them all"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings({name: value})
    assert name in str(error.value)
    assert expected in str(error.value)


def test_every_setting_has_a_unit_and_a_meaning_and_no_secret_is_shown() -> None:
    secret = "correct horse battery staple"
    described = list(describe(load_settings({"GAMESERVER_AUTH_SIGNING_KEY": secret, "DATABASE_URL": secret})))
    assert len({each.environment_name for each in described}) == len(described) > 50
    assert all(each.unit and each.meaning for each in described)
    assert not any(secret in each.value for each in described)


def test_a_node_without_a_name_has_that_of_its_host() -> None:
    assert named(load_settings({})).node.name == socket.gethostname()
    assert named(load_settings({"GAMESERVER_NODE_NAME": "fox"})).node.name == "fox"


def test_the_options_of_a_node_win_over_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMESERVER_NODE_NAME", "fox")
    monkeypatch.setenv("GAMESERVER_NODE_ROLES", "actors")
    taken: list[Settings] = []
    monkeypatch.setattr("gameserver.cli.node.run", lambda settings, _options: taken.append(settings) or 0)
    assert main(["node", "--roles", "http, websocket", "--name", "hare"]) == 0
    assert (taken[0].node.roles, taken[0].node.name) == (("http", "websocket"), "hare")
    assert main(["node"]) == 0
    assert (taken[1].node.roles, taken[1].node.name) == (("actors",), "fox")


def test_an_unknown_role_is_refused_like_any_wrong_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "--roles", "http,oracle"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("gameserver node: GAMESERVER_NODE_ROLES=http,oracle: expected some of")
