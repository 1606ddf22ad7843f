"""Real servers for the tests: one PostgreSQL and one Valkey per test process, in a temporary folder of their own.

With pytest-xdist each worker is a process, so each has its own. A test's database is a copy of a migrated template:
it starts empty, and is as durable as in production.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey

TEMPLATE = "gameserver_template"


def at_database(url: str, name: str) -> str:
    """The same server's database `name`."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gameserver tests ") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def embedded_postgres(servers_folder: Path) -> EmbeddedPostgres:
    """Not started by itself (ask for `postgres_server`); for tests that restart it or kill it."""
    return EmbeddedPostgres(servers_folder)


@pytest.fixture(scope="session")
def embedded_valkey(servers_folder: Path) -> EmbeddedValkey:
    """Not started by itself (ask for `redis_server`); for tests that restart it or kill it."""
    return EmbeddedValkey(servers_folder)


@pytest.fixture(scope="session")
def postgres_server(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of the server's maintenance database. Tests that need data ask for `database`."""
    with embedded_postgres as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(embedded_valkey: EmbeddedValkey) -> Iterator[str]:
    with embedded_valkey as url:
        yield url


@pytest.fixture(scope="session")
def run_sql(postgres_server: str) -> Callable[[str], None]:
    """Runs one statement in the maintenance database, on a connection of its own: the server may have restarted."""

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(postgres_server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    return lambda statement: asyncio.run(run(statement))


@pytest.fixture(scope="session")
def template_database(postgres_server: str, run_sql: Callable[[str], None]) -> str:
    """The name of a database with all migrations applied, to be copied and never connected to."""
    from gameserver.persistence.migrations import migrate

    run_sql(f"CREATE DATABASE {TEMPLATE}")
    migrate(at_database(postgres_server, TEMPLATE))
    return TEMPLATE


database_numbers = itertools.count(1)


@pytest.fixture
def database(postgres_server: str, template_database: str, run_sql: Callable[[str], None]) -> Iterator[str]:
    """The URL of an empty, migrated database for this test alone."""
    name = f"test_{next(database_numbers)}"
    run_sql(f"CREATE DATABASE {name} TEMPLATE {template_database}")
    yield at_database(postgres_server, name)
    run_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis. Tests of one process follow one another, so they can share the server."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
