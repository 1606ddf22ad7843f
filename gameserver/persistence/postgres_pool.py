"""Connections to PostgreSQL that are used in turns.

They are opened when they are needed, also after they were lost, and ended by the server when nobody has needed them for
long.
"""

from collections.abc import Awaitable, Callable

import trio

from gameserver.persistence.postgres_connection import PostgresConnection


class Pool:
    """At most `limit`; whoever waits for one, or for `connect`, does so up to `wait_s`. What was idle for `idle_s` is
    not used any more."""

    def __init__(
        self, connect: Callable[[], Awaitable[PostgresConnection]], limit: int, wait_s: float, idle_s: float
    ) -> None:
        self._connect, self._wait_s, self._idle_s = connect, wait_s, idle_s
        self._free = trio.Semaphore(limit)
        self._connections: set[PostgresConnection] = set()
        self._idle: list[tuple[PostgresConnection, float]] = []
        """Each since when; that which was used last comes last."""

    async def take(self) -> PostgresConnection:
        """To be given back. Raises TooSlowError, and whatever `connect` raises."""
        if self._free.value and (idle := self._idle_one()) is not None:
            self._free.acquire_nowait()
            return idle
        with trio.fail_after(self._wait_s):
            await self._free.acquire()
            try:
                return self._idle_one() or await self._new_one()
            except BaseException:
                self._free.release()
                raise

    def give_back(self, connection: PostgresConnection) -> None:
        """In whatever state it is."""
        if connection.settled:
            self._idle.append((connection, trio.current_time()))
        else:
            self._part_with(connection)
        self._free.release()

    def close(self) -> None:
        """All of them, at once, whoever is using them."""
        for connection in self._connections:
            connection.close()

    def _idle_one(self) -> PostgresConnection | None:
        oldest = trio.current_time() - self._idle_s
        while self._idle:
            connection, since = self._idle.pop()
            if since > oldest and connection.usable:
                return connection
            self._part_with(connection)
        return None

    async def _new_one(self) -> PostgresConnection:
        connection = await self._connect()
        self._connections.add(connection)
        return connection

    def _part_with(self, connection: PostgresConnection) -> None:
        connection.close()
        self._connections.remove(connection)
