"""Connections to PostgreSQL that are used in turns, on asyncio's loop.

They are opened when they are needed, and ended by the server when nobody has needed them for long. asyncpg's own pool
starts two tasks for each statement, one to take a connection and one to give it back, for choices that we do not leave
open: that is a third of what a short statement costs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Pool:
    """At most `limit`; whoever waits for one, or for `connect`, does so up to `wait_s`. What was idle for `idle_s` is
    not used any more."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], limit: int, wait_s: float, idle_s: float) -> None:
        self._connect, self._wait_s, self._idle_s = connect, wait_s, idle_s
        self._free = asyncio.Semaphore(limit)
        self._connections: set[Connection] = set()
        self._idle: list[tuple[Connection, float]] = []
        """Each since when, by asyncio's clock; that which was used last comes last."""

    async def take(self) -> Connection:
        """To be given back. Raises TimeoutError, and whatever `connect` raises."""
        if not self._free.locked() and (idle := self._idle_one()) is not None:
            await self._free.acquire()  # at once; the deadline below would cost more than that
            return idle
        async with asyncio.timeout(self._wait_s):
            await self._free.acquire()
            try:
                return self._idle_one() or await self._new_one()
            except BaseException:
                self._free.release()
                raise

    def give_back(self, connection: Connection) -> None:
        """In whatever state it is."""
        self._idle.append((connection, asyncio.get_running_loop().time()))
        self._free.release()

    def terminate(self) -> None:
        """All of them, at once, whoever is using them."""
        for connection in self._connections:
            connection.terminate()

    def _idle_one(self) -> "Connection | None":
        oldest = asyncio.get_running_loop().time() - self._idle_s
        while self._idle:
            connection, since = self._idle.pop()
            if since > oldest and not connection.is_closed():
                return connection
            connection.terminate()
            self._connections.remove(connection)
        return None

    async def _new_one(self) -> Connection:
        connection = await self._connect()
        self._connections.add(connection)
        return connection
