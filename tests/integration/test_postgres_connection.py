"""Connections through libpq: a statement that was left does not answer the next, and none is sent to who has gone."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio
from attrs import evolve

from gameserver.config import PostgresSettings
from gameserver.errors import OutcomeUnknown, StartError, StorageUnavailable
from gameserver.persistence.postgres import Connections, open_postgres, own_connection
from gameserver.persistence.postgres_connection import connect

LONG_MS = 5_000
NOBODY_SPEAKS = "127.0.0.1"


@pytest.fixture
async def one(database: str) -> AsyncIterator[Connections]:
    """A pool of a single connection."""
    async with (
        open_postgres(PostgresSettings(url=database), "tests", LONG_MS) as postgres,
        own_connection(postgres, LONG_MS) as connections,
    ):
        yield connections


async def fetched(connections: Connections, text: str, *args: object) -> Any:
    return (await connections.fetch(text, *args, lost=OutcomeUnknown))[0][0]


async def test_a_cancelled_statement_does_not_answer_the_next_one(one: Connections) -> None:
    with trio.move_on_after(0.05) as scope:
        await fetched(one, "SELECT 'late' FROM pg_sleep(0.2)")
    assert scope.cancelled_caught
    assert await fetched(one, "SELECT 'mine'") == "mine"


async def test_an_error_leaves_the_connection_in_use(one: Connections) -> None:
    backend = await fetched(one, "SELECT pg_backend_pid()")
    with pytest.raises(StorageUnavailable, match="canceling"):
        await fetched(one, "SELECT 1 FROM pg_cancel_backend(pg_backend_pid()), pg_sleep(1)")
    assert await fetched(one, "SELECT pg_backend_pid()") == backend


async def test_a_connection_that_ended_while_nobody_used_it_costs_no_statement(one: Connections, database: str) -> None:
    backend = await fetched(one, "SELECT pg_backend_pid()")
    async with open_postgres(PostgresSettings(url=database), "tests", LONG_MS) as other:
        await other.fetch("SELECT pg_terminate_backend($1, 5000)", backend)
    assert await fetched(one, "SELECT pg_backend_pid()") != backend


async def test_a_statement_whose_columns_have_changed_is_prepared_anew(one: Connections) -> None:
    await one.fetch("CREATE TEMPORARY TABLE things (id bigint)", lost=OutcomeUnknown)
    await one.fetch("INSERT INTO things VALUES (1)", lost=OutcomeUnknown)
    assert await fetched(one, "SELECT * FROM things") == 1
    await one.fetch("ALTER TABLE things ALTER id TYPE text", lost=OutcomeUnknown)
    with pytest.raises(Exception, match="cached plan"):
        await fetched(one, "SELECT * FROM things")
    assert await fetched(one, "SELECT * FROM things") == "1"


async def test_who_waits_is_told_when_the_connections_are_closed(one: Connections) -> None:
    async def wait() -> None:
        with pytest.raises(OutcomeUnknown, match="stopping"):
            await fetched(one, "SELECT 1 FROM pg_sleep(4)")

    with trio.fail_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
            one.close()


async def test_a_statement_longer_than_any_buffer(one: Connections) -> None:
    assert await fetched(one, "SELECT length($1::bytea)", b"x" * 20_000_000) == 20_000_000


async def test_of_two_servers_the_one_that_does_not_answer_does_not_keep_us_from_the_other(
    database: str, embedded_postgres: Any
) -> None:
    with socket.create_server((NOBODY_SPEAKS, 0)) as silent:
        url = psycopg.conninfo.conninfo_to_dict(database)
        folder = Path(str(url["host"]))
        both = url | {"host": f"{NOBODY_SPEAKS},{folder}", "port": f"{silent.getsockname()[1]},5432"}
        with trio.fail_after(3):
            connection = await connect(both, limit_s=0.6)
    assert (await connection.fetch("SELECT 1 AS one", ([], [])))[0].one == 1
    connection.close()


async def test_what_is_no_url_is_not_quoted(database: str) -> None:
    settings = evolve(PostgresSettings(), url="postgres//bear:secret@host/database")
    with pytest.raises(StartError, match="DATABASE_URL") as refused:
        async with open_postgres(settings, "tests", 300):
            pass
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
