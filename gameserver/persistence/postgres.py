"""Connections to PostgreSQL, and what its errors mean to us: the only place that knows both.

Queries share a pool. What must never wait behind them has connections of its own: several for what brings actors to
life, and a pool of one each for commits and for the lease. Connections are opened when they are needed, also after they
were lost, and closed when nobody needs them. Every statement is a transaction by itself, so that no lock outlives a
round trip; `postgres_limits.py` says what ends one whose client fell silent.

What an error says about the statement:
- CommitRejected: the server refused it because of what it says; trying again gives the same.
- StorageUnavailable: nothing has changed; the server was away, did not let us in, or had no room or no time for it.
- OutcomeUnknown: it was sent and its answer was lost. For all but commits the callers' statements are made so that
  trying again is harmless, and such a loss counts as StorageUnavailable too.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import asyncpg
import trio
from attrs import frozen

from gameserver.config import PostgresSettings
from gameserver.errors import CommitRejected, JournalError, StartError, StorageUnavailable
from gameserver.persistence.bridge import Bridge, BridgeClosed, DeadlineExceeded
from gameserver.persistence.postgres_limits import limit_transactions, limits_of_session
from gameserver.persistence.postgres_pool import Connection, Pool

Rows = list[asyncpg.Record]

CONNECT_PAUSE_S: Final = 0.2

# The server or the connection went away, so that the last word on the statement is missing. A transaction that took too
# long (25P04) may have been ended in the moment after its commit.
SERVER_LOST: Final = ("08", "25P04", "40003", "57P")

# SQLSTATEs by which the server says no for reasons of its own: a deadlock or a lost race (40), no time (57014), no room
# (53), broken files (58), a lock not given (55), a standby (25).
SERVER_TROUBLE: Final = ("25", "40", "53", "55", "57014", "58")


class NotLetIn(StorageUnavailable):
    """The server is there, and gives us no connection: a wrong password, no such database."""


@frozen
class Server:
    """Which PostgreSQL, and how we come to it."""

    bridge: Bridge
    settings: PostgresSettings
    application_name: str


class Connections:
    """At most `limit`, for statements that have the same deadline. Use it through `own_connection`."""

    def __init__(self, server: Server, limit: int, deadline_ms: int, server_settings: Mapping[str, str]) -> None:
        self._bridge, self._settings = server.bridge, server.settings
        self._deadline_ms = deadline_ms
        self._server_settings = {
            "application_name": server.application_name,
            "jit": "off",  # short statements only: compiling one would take longer than running it
            **limits_of_session(server.settings, deadline_ms),
            **server_settings,
        }
        wait_s = server.settings.connect_deadline_ms / 1_000
        idle_s = server.settings.idle_limit_ms / 2_000  # before the server ends it
        self._pool = Pool(self._connect, limit, wait_s, idle_s)

    async def fetch(self, text: str, *args: object, lost: type[JournalError]) -> Rows:
        """The rows of one statement; if it was sent and the answer got lost, raises `lost`.

        Raises StorageUnavailable when there is no connection to send it on, CommitRejected.
        """
        both_ms = self._settings.connect_deadline_ms + self._deadline_ms
        with translated(lost=lost):
            return await self._bridge.call(self._fetch, text, args, deadline_ms=both_ms)

    async def close(self) -> None:
        with contextlib.suppress(BridgeClosed, DeadlineExceeded):
            await self._bridge.call(self._terminate, deadline_ms=self._settings.connect_deadline_ms)

    # on asyncio's loop

    async def _connect(self) -> Connection:
        connection = await asyncpg.connect(
            self._settings.url,
            timeout=self._settings.connect_deadline_ms / 1_000,
            server_settings=self._server_settings,
            max_cached_statement_lifetime=0,  # our statements are few, and stay prepared for good
        )
        try:
            await limit_transactions(connection, self._deadline_ms)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _fetch(self, text: str, args: tuple[object, ...]) -> Rows:
        with translated(lost=StorageUnavailable, rejected=NotLetIn):  # nothing has been sent yet
            connection = await self._pool.take()
        try:
            return await connection.fetch(text, *args, timeout=self._deadline_ms / 1_000)
        except asyncpg.PostgresError:
            raise
        except BaseException:  # also a deadline or a cancellation: whatever comes next must not queue up behind it
            connection.terminate()
            raise
        finally:
            self._pool.give_back(connection)

    async def _terminate(self) -> None:
        self._pool.terminate()


class Postgres:
    """Use it through `open_postgres`."""

    def __init__(self, server: Server, shared: Connections) -> None:
        self.server, self.settings = server, server.settings
        self._shared = shared

    async def fetch(self, text: str, *args: object) -> Rows:
        """The rows of one statement, on any of the connections. Raises StorageUnavailable, CommitRejected."""
        return await self._shared.fetch(text, *args, lost=StorageUnavailable)

    async def fetchrow(self, text: str, *args: object) -> asyncpg.Record | None:
        """The first row, if any. Raises as `fetch`."""
        rows = await self.fetch(text, *args)
        return rows[0] if rows else None


@contextlib.asynccontextmanager
async def open_postgres(
    bridge: Bridge, settings: PostgresSettings, application_name: str, start_deadline_ms: int
) -> AsyncIterator[Postgres]:
    """Connected; waits for a server that is still starting. Raises StartError."""
    give_up_at = trio.current_time() + start_deadline_ms / 1_000
    async with _open_pool(Server(bridge, settings, application_name), settings.pool_size) as postgres:
        await _connect_patiently(postgres, give_up_at)
        yield postgres


def own_pool(postgres: Postgres, limit: int) -> AbstractAsyncContextManager[Postgres]:
    """For queries that wait for each other, and not for everybody's."""
    return _open_pool(postgres.server, limit)


def own_connection(
    postgres: Postgres, deadline_ms: int, server_settings: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[Connections]:
    """For one purpose: its statements follow one another, and wait for nobody else's."""
    return _open_connections(postgres.server, 1, deadline_ms, server_settings or {})


@contextlib.asynccontextmanager
async def _open_pool(server: Server, limit: int) -> AsyncIterator[Postgres]:
    async with _open_connections(server, limit, server.settings.query_deadline_ms, {}) as shared:
        yield Postgres(server, shared)


@contextlib.asynccontextmanager
async def _open_connections(
    server: Server, limit: int, deadline_ms: int, server_settings: Mapping[str, str]
) -> AsyncIterator[Connections]:
    connections = Connections(server, limit, deadline_ms, server_settings)
    try:
        yield connections
    finally:
        with trio.CancelScope(shield=True):  # bounded by the deadline of closing
            await connections.close()


async def _connect_patiently(postgres: Postgres, give_up_at: float) -> None:
    while True:
        try:
            await postgres.fetch("SELECT 1")
        except (NotLetIn, CommitRejected) as error:
            raise StartError(f"PostgreSQL does not let us in: {error}") from error
        except StorageUnavailable as error:
            if trio.current_time() + CONNECT_PAUSE_S >= give_up_at:
                raise StartError(f"PostgreSQL cannot be reached: {error}") from error
        else:
            return
        await trio.sleep(CONNECT_PAUSE_S)


@contextlib.contextmanager
def translated(lost: type[JournalError], rejected: type[JournalError] = CommitRejected) -> Iterator[None]:
    """What the drivers raise, as ours; `lost` for a statement whose answer did not come."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _meaning(error, lost, rejected)(_words(error)) from error
    except (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise lost(_words(error)) from error
    except (BridgeClosed, DeadlineExceeded) as error:
        raise lost(_words(error)) from error


def violated(error: CommitRejected) -> str | None:
    """The name of the unique constraint or index that a statement would have broken."""
    cause = error.__cause__
    return cause.constraint_name if isinstance(cause, asyncpg.UniqueViolationError) else None


def _meaning(
    error: asyncpg.PostgresError, lost: type[JournalError], rejected: type[JournalError]
) -> type[JournalError]:
    state = str(error.sqlstate or "")
    if state.startswith(SERVER_LOST):
        return lost
    if state.startswith(SERVER_TROUBLE):
        return StorageUnavailable
    return rejected


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
