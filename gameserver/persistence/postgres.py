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
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import psycopg
import trio
from attrs import field, frozen
from psycopg.conninfo import make_conninfo
from psycopg.errors import UniqueViolation
from psycopg.pq import PGconn, Ping

from gameserver.config import PostgresSettings
from gameserver.errors import CommitRejected, JournalError, StartError, StorageUnavailable
from gameserver.persistence.postgres_connection import PostgresConnection, Rows, connect, conninfo_of, ends_connection
from gameserver.persistence.postgres_limits import limit_transactions, limits_of_session
from gameserver.persistence.postgres_parameters import parameters
from gameserver.persistence.postgres_pool import Pool, Terms, ending_overdue

CONNECT_PAUSE_S: Final = 0.2
PING_S: Final = 2
TURNED_AWAY_LIMIT: Final = 8
"""So many times in a row, and waiting is of no use: not even those leave who have taken all connections."""

# The server or the connection went away, so that the last word on the statement is missing. A transaction that took too
# long (25P04) may have been ended in the moment after its commit.
SERVER_LOST: Final = ("08", "25P04", "40003", "57P")

# SQLSTATEs by which the server says no for reasons of its own: a deadlock or a lost race (40), no time (57014), no room
# (53), broken files (58), a lock not given (55), a standby (25).
SERVER_TROUBLE: Final = ("25", "40", "53", "55", "57014", "58")


@frozen
class Server:
    """Which PostgreSQL, and how we come to it."""

    settings: PostgresSettings
    application_name: str
    pools: set[Pool] = field(factory=set, init=False)

    def conninfo(self, session: Mapping[str, object]) -> dict[str, Any]:
        """libpq's parameters for a connection with these settings of its own. Raises StartError."""
        known = conninfo_of(self.settings.url, application_name=self.application_name)
        options = [f"-c {name}={value}" for name, value in session.items()]
        return known | {"options": " ".join([str(known.get("options", "")), *options])}


class Connections:
    """At most `limit`, for statements that have the same deadline. Use it through `own_connection`."""

    def __init__(self, server: Server, limit: int, deadline_ms: int, session: Mapping[str, str]) -> None:
        settings = server.settings
        self._server, self._deadline_ms = server, deadline_ms
        self._connect_s = settings.connect_deadline_ms / 1_000
        # Short statements only: compiling one (jit) would take longer than running it.
        self._conninfo = server.conninfo({"jit": "off", **limits_of_session(settings, deadline_ms), **session})
        idle_s = settings.idle_limit_ms / 2_000  # before the server ends it
        self._pool = Pool(self._connect, Terms(limit, self._connect_s, deadline_ms / 1_000, idle_s))
        server.pools.add(self._pool)

    async def fetch(self, text: str, *args: object, lost: type[JournalError]) -> Rows:
        """The rows of one statement; if it was sent and the answer got lost, raises `lost`.

        Raises StorageUnavailable when there is no connection to send it on, CommitRejected.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            asked = parameters(args)
        except ValueError as error:
            raise CommitRejected(str(error)) from error
        connection = await self._taken()
        try:
            return await connection.fetch(text, asked)
        except psycopg.Error as error:
            raise _meaning(error, lost)(_words(error)) from error
        except trio.ClosedResourceError as error:
            raise lost(f"no answer within {self._deadline_ms} ms, or the node is stopping") from error
        finally:
            self._pool.give_back(connection)

    def close(self) -> None:
        self._server.pools.discard(self._pool)
        self._pool.close()

    async def _taken(self) -> PostgresConnection:
        try:
            return await self._pool.take()
        except psycopg.Error as error:
            raise StorageUnavailable(_words(error)) from error
        except trio.ClosedResourceError as error:
            raise StorageUnavailable("the node is stopping") from error
        except trio.TooSlowError as error:
            raise StorageUnavailable(f"no connection within {round(self._connect_s * 1_000)} ms") from error

    async def _connect(self) -> PostgresConnection:
        connection = await connect(self._conninfo, self._connect_s)
        try:
            await limit_transactions(connection, self._deadline_ms)
        except BaseException:
            connection.close()
            raise
        return connection


class Postgres:
    """Use it through `open_postgres`."""

    def __init__(self, server: Server, shared: Connections) -> None:
        self.server, self.settings = server, server.settings
        self._shared = shared

    async def fetch(self, text: str, *args: object) -> Rows:
        """The rows of one statement, on any of the connections. Raises StorageUnavailable, CommitRejected."""
        return await self._shared.fetch(text, *args, lost=StorageUnavailable)

    async def fetchrow(self, text: str, *args: object) -> Any | None:
        """The first row, if any. Raises as `fetch`."""
        rows = await self.fetch(text, *args)
        return rows[0] if rows else None


@contextlib.asynccontextmanager
async def open_postgres(
    settings: PostgresSettings, application_name: str, start_deadline_ms: int
) -> AsyncIterator[Postgres]:
    """Connected; waits for a server that is still starting. Raises StartError."""
    give_up_at = trio.current_time() + start_deadline_ms / 1_000
    server = Server(settings, application_name)
    with ending_overdue(server.pools):
        async with _open_pool(server, settings.pool_size) as postgres:
            await _connect_patiently(postgres, give_up_at)
            yield postgres


def own_pool(postgres: Postgres, limit: int) -> AbstractAsyncContextManager[Postgres]:
    """For queries that wait for each other, and not for everybody's."""
    return _open_pool(postgres.server, limit)


def own_connection(
    postgres: Postgres, deadline_ms: int, session: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[Connections]:
    """For one purpose: its statements follow one another, and wait for nobody else's. `session` are settings of
    PostgreSQL's."""
    return _open_connections(postgres.server, 1, deadline_ms, session or {})


@contextlib.asynccontextmanager
async def _open_pool(server: Server, limit: int) -> AsyncIterator[Postgres]:
    async with _open_connections(server, limit, server.settings.query_deadline_ms, {}) as shared:
        yield Postgres(server, shared)


@contextlib.asynccontextmanager
async def _open_connections(
    server: Server, limit: int, deadline_ms: int, session: Mapping[str, str]
) -> AsyncIterator[Connections]:
    connections = Connections(server, limit, deadline_ms, session)
    try:
        yield connections
    finally:
        connections.close()


async def _connect_patiently(postgres: Postgres, give_up_at: float) -> None:
    turned_away = 0
    while True:
        try:
            await postgres.fetch("SELECT 1")
        except (StorageUnavailable, CommitRejected) as error:
            turned_away = turned_away + 1 if _turned_away(postgres.server, error) else 0
            if turned_away == TURNED_AWAY_LIMIT:
                raise StartError(f"PostgreSQL does not let us in: {error}") from error
            if trio.current_time() + CONNECT_PAUSE_S >= give_up_at:
                raise StartError(f"PostgreSQL cannot be reached: {error}") from error
        else:
            return
        await trio.sleep(CONNECT_PAUSE_S)


def _turned_away(server: Server, error: JournalError) -> bool:
    """Whether the server takes others in, or this URL leads to none. It has to be asked, since libpq does not say by
    which SQLSTATE it was turned away; that blocks, but nobody plays yet."""
    if not isinstance(error.__cause__, psycopg.Error):
        return False
    conninfo = server.conninfo({}) | {"connect_timeout": PING_S}
    return PGconn.ping(make_conninfo("", **conninfo).encode()) in (Ping.OK, Ping.NO_ATTEMPT)


def violated(error: CommitRejected) -> str | None:
    """The name of the unique constraint or index that a statement would have broken."""
    cause = error.__cause__
    return cause.diag.constraint_name if isinstance(cause, UniqueViolation) else None


def _meaning(error: psycopg.Error, lost: type[JournalError]) -> type[JournalError]:
    if error.sqlstate is None or ends_connection(error) or error.sqlstate.startswith(SERVER_LOST):
        return lost
    if error.sqlstate.startswith(SERVER_TROUBLE):
        return StorageUnavailable
    return CommitRejected


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
