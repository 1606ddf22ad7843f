"""Secrets: made once in development, demanded in production."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from gameserver.config import AdminSettings, AuthSettings, NodeSettings, Settings
from gameserver.errors import ConfigError, StartError
from gameserver.net.secrets import admin_token, signing_key

BOTH = pytest.mark.parametrize(
    ("read", "name"), [(signing_key, "GAMESERVER_AUTH_SIGNING_KEY"), (admin_token, "GAMESERVER_ADMIN_TOKEN")]
)
Read = Callable[[Settings], str]


def settings(folder: Path, value: str = "", env: str = "development") -> Settings:
    node = NodeSettings(env=env, data_dir=folder)
    return evolve(Settings(), node=node, auth=AuthSettings(signing_key=value), admin=AdminSettings(token=value))


@BOTH
def test_in_development_a_secret_is_made_once_and_kept(tmp_path: Path, read: Read, name: str) -> None:
    folder = tmp_path / "data"
    made = read(settings(folder))
    assert len(made) >= 32
    assert read(settings(folder)) == made
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read(settings(tmp_path / "another")) != made


@BOTH
def test_a_given_secret_is_taken_and_nothing_is_written(tmp_path: Path, read: Read, name: str) -> None:
    assert read(settings(tmp_path, "mine")) == "mine"
    strong = secrets.token_urlsafe(32)
    assert read(settings(tmp_path, strong, "production")) == strong
    assert not list(tmp_path.iterdir())


@BOTH
@pytest.mark.parametrize("value", ["", "short", "change-me" * 5, "a" * 64, "Your-secret-signing-key-goes-here-please"])
def test_production_refuses_a_missing_or_weak_secret_by_name(tmp_path: Path, read: Read, name: str, value: str) -> None:
    (tmp_path / "signing_key").write_text("left over from development")
    with pytest.raises(ConfigError, match=name):
        read(settings(tmp_path, value, "production"))


def test_an_empty_or_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "signing_key").write_text("\n")
    with pytest.raises(StartError, match="signing_key is empty"):
        signing_key(settings(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be read or made"):
        signing_key(settings(tmp_path / "file"))
