"""Connections through libpq: a statement that was left does not answer the next, and none is sent to who has gone."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from gameserver.config import PostgresSettings
from gameserver.errors import CommitRejected, OutcomeUnknown, StartError, StorageUnavailable
from gameserver.persistence.migrations import migrate
from gameserver.persistence.postgres import Connections, Server, open_postgres, own_connection

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
    assert await fetched(one, "SELECT * FROM things") == "1"
    await one.fetch("DEALLOCATE ALL", lost=OutcomeUnknown)
    assert await fetched(one, "SELECT * FROM things") == "1"


async def test_what_fails_at_the_end_of_its_transaction_has_failed(one: Connections) -> None:
    """The rows have come by then, and the error comes behind them."""
    await one.fetch(
        "CREATE TEMPORARY TABLE things (id bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)", lost=OutcomeUnknown
    )
    for _ in range(2):
        with pytest.raises(CommitRejected, match="unique constraint"):
            await one.fetch("INSERT INTO things VALUES (1), (1) RETURNING id", lost=OutcomeUnknown)
        assert await fetched(one, "SELECT count(*) FROM things") == 0


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
async def test_whatever_ends_the_connection_leaves_the_outcome_open(severity: str) -> None:
    """A server whose disk is full panics after it has written the commit, too."""
    with socket.create_server((NOBODY_SPEAKS, 0)) as listener, trio.fail_after(5):
        listening = trio.socket.from_stdlib_socket(listener)
        listener.setblocking(False)
        url = f"postgresql://bear@{NOBODY_SPEAKS}:{listener.getsockname()[1]}/game?sslmode=disable&gssencmode=disable"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(panicking_server, listening, severity)
            connections = Connections(Server(PostgresSettings(url=url), "tests"), 1, LONG_MS, {})
            with pytest.raises(OutcomeUnknown, match="no room"):
                await connections.fetch("SELECT 1", lost=OutcomeUnknown)
            connections.close()
            nursery.cancel_scope.cancel()


async def panicking_server(listening: Any, severity: str) -> None:
    """It lets everybody in, and to the first thing that is said to it answers with its last words."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    sock, _ = await listening.accept()
    await sock.recv(10_000)
    await sock.send(message(b"R", bytes(4)) + message(b"Z", b"I"))
    await sock.recv(10_000)
    words = f"S{severity}\0V{severity}\0C53100\0Mno room\0\0".encode()
    await sock.send(message(b"E", words))
    sock.close()


async def test_what_is_closed_opens_no_connection_any_more(one: Connections) -> None:
    assert await fetched(one, "SELECT 1") == 1
    one.close()
    with pytest.raises(StorageUnavailable, match="stopping"):
        await fetched(one, "SELECT 1")


async def test_our_limits_hold_whatever_the_url_says(database: str) -> None:
    asked = "&options=-c%20statement_timeout%3D0%20-c%20geqo%3Doff"
    async with open_postgres(
        PostgresSettings(url=database + asked, query_deadline_ms=4_000), "tests", LONG_MS
    ) as postgres:
        assert (await postgres.fetch("SHOW statement_timeout"))[0][0] == "4s"
        assert (await postgres.fetch("SHOW geqo"))[0][0] == "off"


async def test_texts_are_utf_8_whatever_the_surroundings_say(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    async with open_postgres(PostgresSettings(url=database), "tests", LONG_MS) as postgres:
        assert (await postgres.fetch("SELECT $1::text", "Bär"))[0][0] == "Bär"


NO_URL = "postgres//bear:secret@host/database"


async def test_what_is_no_url_is_not_quoted() -> None:
    with pytest.raises(StartError, match="DATABASE_URL") as refused:
        async with open_postgres(PostgresSettings(url=NO_URL), "tests", 300):
            pass
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(StartError, match="DATABASE_URL") as refused:
        await trio.to_thread.run_sync(migrate, NO_URL)
    assert "secret" not in str(refused.value)
