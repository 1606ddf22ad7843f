"""Connections to PostgreSQL, and what its errors mean to us: the only place that knows both.

Queries share a pool. What must never wait behind them (commits, the lease) has a connection of its own, which is opened
again when it was lost. Every statement is a transaction by itself, so that no lock outlives a round trip.

What an error says about the statement:
- CommitRejected: the server refused it because of what it says; trying again gives the same.
- StorageUnavailable: nothing has changed; the server was away, or had no room or no time for it.
- OutcomeUnknown: it was sent and its answer was lost. For all but commits the callers' statements are made so that
  trying again is harmless, and such a loss counts as StorageUnavailable too.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import asyncpg
import trio

from gameserver.config import PostgresSettings
from gameserver.errors import CommitRejected, JournalError, StartError, StorageUnavailable
from gameserver.persistence.bridge import Bridge, BridgeClosed, DeadlineExceeded

Rows = list[asyncpg.Record]

CONNECT_PAUSE_S: Final = 0.2

# SQLSTATEs by which the server says no for reasons of its own: a deadlock or a lost race (40), no time (57014), no room
# (53), broken files (58), a lock not given (55), a standby (25).
SERVER_TROUBLE: Final = ("25", "40", "53", "55", "57014", "58")

# The server or the connection went away, so that the last word on the statement is missing.
SERVER_LOST: Final = ("08", "40003", "57P")


class Postgres:
    """Use it through `open_postgres`."""

    def __init__(self, bridge: Bridge, settings: PostgresSettings, application_name: str) -> None:
        self.bridge = bridge
        self.settings = settings
        self._application_name = application_name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def fetch(self, text: str, *args: object) -> Rows:
        """The rows of one statement, on any connection. Raises StorageUnavailable, CommitRejected."""
        with translated(lost=StorageUnavailable):
            return await self.bridge.call(self._fetch, text, args, deadline_ms=self.settings.query_deadline_ms)

    async def fetchrow(self, text: str, *args: object) -> asyncpg.Record | None:
        """The first row, if any. Raises as `fetch`."""
        rows = await self.fetch(text, *args)
        return rows[0] if rows else None

    async def connect(self) -> None:
        with translated(lost=StorageUnavailable):
            await self.bridge.call(self._connect, deadline_ms=self.settings.connect_deadline_ms)

    async def close(self) -> None:
        with contextlib.suppress(BridgeClosed, DeadlineExceeded):
            await self.bridge.call(self._close, deadline_ms=self.settings.connect_deadline_ms)

    def connection_options(self, deadline_ms: int, server_settings: Mapping[str, str]) -> dict[str, Any]:
        """How every connection of ours is opened. The server gives up a statement when we would."""
        return {
            "dsn": self.settings.url,
            "timeout": self.settings.connect_deadline_ms / 1_000,
            "server_settings": {
                "application_name": self._application_name,
                "statement_timeout": str(deadline_ms),
                "jit": "off",  # short statements only: compiling one would take longer than running it
                **server_settings,
            },
        }

    # on the asyncio thread

    async def _connect(self) -> None:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                min_size=0,
                max_size=self.settings.pool_size,
                reset=_leave_as_it_is,
                **self.connection_options(self.settings.query_deadline_ms, {}),
            )
        await self._fetch("SELECT 1", ())

    async def _fetch(self, text: str, args: tuple[object, ...]) -> Rows:
        assert self._pool is not None, "not connected"
        async with self._pool.acquire(timeout=self.settings.query_deadline_ms / 1_000) as connection:
            return await connection.fetch(text, *args)

    async def _close(self) -> None:
        if self._pool is not None:
            try:
                await self._pool.close()
            finally:
                self._pool.terminate()


class OwnConnection:
    """A connection for one purpose: its statements follow one another, and wait for nobody else's."""

    def __init__(self, postgres: Postgres, deadline_ms: int, server_settings: Mapping[str, str]) -> None:
        self._bridge = postgres.bridge
        self._deadline_ms = deadline_ms
        self._connect_deadline_ms = postgres.settings.connect_deadline_ms
        self._options = postgres.connection_options(deadline_ms, server_settings)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._turn = trio.Lock()

    async def fetch(self, text: str, *args: object, lost: type[JournalError]) -> Rows:
        """The rows of one statement; if it was sent and the answer got lost, raises `lost`.

        Raises StorageUnavailable when there is no connection to send it on, CommitRejected.
        """
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                with translated(lost=StorageUnavailable):
                    await self._bridge.call(self._connect, deadline_ms=self._connect_deadline_ms)
            with translated(lost=lost):
                return await self._bridge.call(self._fetch, text, args, deadline_ms=self._deadline_ms)

    async def close(self) -> None:
        with contextlib.suppress(BridgeClosed, DeadlineExceeded):
            await self._bridge.call(self._close, deadline_ms=self._connect_deadline_ms)

    # on the asyncio thread

    async def _connect(self) -> None:
        # The few statements here stay prepared for good.
        self._connection = await asyncpg.connect(**self._options, max_cached_statement_lifetime=0)

    async def _fetch(self, text: str, args: tuple[object, ...]) -> Rows:
        assert self._connection is not None, "not connected"
        try:
            return await self._connection.fetch(text, *args)
        except asyncpg.PostgresError:
            raise
        except BaseException:  # also a deadline or a cancellation: whatever comes next must not queue up behind it
            self._connection.terminate()
            raise

    async def _close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()


@contextlib.asynccontextmanager
async def open_postgres(
    bridge: Bridge, settings: PostgresSettings, application_name: str, start_deadline_ms: int
) -> AsyncIterator[Postgres]:
    """Connected; waits for a server that is still starting. Raises StartError."""
    postgres = Postgres(bridge, settings, application_name)
    give_up_at = trio.current_time() + start_deadline_ms / 1_000
    try:
        await _connect_patiently(postgres, give_up_at)
        yield postgres
    finally:
        with trio.CancelScope(shield=True):  # bounded by the deadline of closing
            await postgres.close()


@contextlib.asynccontextmanager
async def own_connection(
    postgres: Postgres, deadline_ms: int, server_settings: Mapping[str, str] | None = None
) -> AsyncIterator[OwnConnection]:
    """Opened at its first statement."""
    connection = OwnConnection(postgres, deadline_ms, server_settings or {})
    try:
        yield connection
    finally:
        with trio.CancelScope(shield=True):
            await connection.close()


async def _connect_patiently(postgres: Postgres, give_up_at: float) -> None:
    while True:
        try:
            return await postgres.connect()
        except CommitRejected as error:
            raise StartError(f"PostgreSQL does not let us in: {error}") from error
        except StorageUnavailable as error:
            if trio.current_time() + CONNECT_PAUSE_S >= give_up_at:
                raise StartError(f"PostgreSQL cannot be reached: {error}") from error
        await trio.sleep(CONNECT_PAUSE_S)


@contextlib.contextmanager
def translated(lost: type[JournalError]) -> Iterator[None]:
    """What the drivers raise, as ours; `lost` for a statement whose answer did not come."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _meaning(error, lost)(_words(error)) from error
    except (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise lost(_words(error)) from error
    except (BridgeClosed, DeadlineExceeded) as error:
        raise lost(_words(error)) from error


async def _leave_as_it_is(_: object) -> None:
    """Instead of the pool's round trip to clean up: a statement here leaves nothing behind in its session."""


def violated(error: CommitRejected) -> str | None:
    """The name of the unique constraint or index that a statement would have broken."""
    cause = error.__cause__
    return cause.constraint_name if isinstance(cause, asyncpg.UniqueViolationError) else None


def _meaning(error: asyncpg.PostgresError, lost: type[JournalError]) -> type[JournalError]:
    state = str(error.sqlstate or "")
    if state.startswith(SERVER_LOST):
        return lost
    if state.startswith(SERVER_TROUBLE):
        return StorageUnavailable
    return CommitRejected


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
