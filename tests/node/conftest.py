"""Whole nodes on free ports, with a database of their own each; they share the test process's two servers."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gameserver.config import Settings
from tests.node.running import NodeThread, settings_with

numbers = itertools.count(1)

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="module")
def node_settings(
    postgres_server: str,
    redis_server: str,
    template_database: str,
    run_sql: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MakeSettings]:
    """Makes settings, each time with an empty database and an empty corner of Redis."""
    made: list[str] = []

    def make(**sections: dict[str, object]) -> Settings:
        name = f"node_{next(numbers)}"
        run_sql(f"CREATE DATABASE {name} TEMPLATE {template_database}")
        made.append(name)
        folder: Path = tmp_path_factory.mktemp(name)
        own = {
            "node": {"name": name, "data_dir": folder},
            "postgres": {"url": urlsplit(postgres_server)._replace(path=f"/{name}").geturl()},
            "redis": {"url": redis_server, "key_prefix": f"{name}:"},
        }
        merged = {each: {**own.get(each, {}), **sections.get(each, {})} for each in own.keys() | sections.keys()}
        return settings_with(**merged)

    yield make
    for name in made:
        run_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def node(node_settings: MakeSettings) -> Iterator[NodeThread]:
    """One node for all tests of a module that leave it as they found it. All guards are as in production."""
    with NodeThread(node_settings()) as running:
        yield running
