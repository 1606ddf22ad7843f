"""Connections to PostgreSQL that are used in turns.

They are opened when they are needed, also after they were lost, and ended by the server when nobody has needed them for
long. Each is lent for a time: one that is not back by then is closed, and with it ends what the borrower waits for. One
look at all of them does that, since a scope of Trio's for each statement costs as much as to send it.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

import trio
from attrs import frozen

from gameserver.beats import next_beat
from gameserver.persistence.postgres_connection import PostgresConnection
from gameserver.turns import trio_clock

LOOK_S: Final = 0.1
"""So much longer a connection may be kept than it is lent for."""


@frozen
class Terms:
    """At most `limit` connections. Whoever waits for one, or for its opening, does so up to `wait_s`, and has it for
    `loan_s`. What was idle for `idle_s` is not used any more."""

    limit: int
    wait_s: float
    loan_s: float
    idle_s: float


class Pool:
    """Whoever opens it has `end_overdue` called now and then, and `close` in the end."""

    def __init__(self, connect: Callable[[], Awaitable[PostgresConnection]], terms: Terms) -> None:
        self._connect, self._terms = connect, terms
        self._free = trio.Semaphore(terms.limit)
        self._lent: dict[PostgresConnection, float] = {}
        """Each until when."""
        self._idle: list[tuple[PostgresConnection, float]] = []
        """Each until when it may be used; that which was used last comes last."""
        self._now, self._closed = trio_clock(), False

    async def take(self) -> PostgresConnection:
        """To be given back. Raises TooSlowError, ClosedResourceError, and whatever `connect` raises."""
        if self._free.value and (idle := self._idle_one()) is not None:
            self._free.acquire_nowait()
            return self._lend(idle)
        if self._closed:
            raise trio.ClosedResourceError
        with trio.fail_after(self._terms.wait_s):
            await self._free.acquire()
            try:
                return self._lend(self._idle_one() or await self._connect())
            except BaseException:
                self._free.release()
                raise

    def give_back(self, connection: PostgresConnection) -> None:
        """In whatever state it is."""
        del self._lent[connection]
        if connection.settled and not self._closed:
            self._idle.append((connection, self._now() + self._terms.idle_s))
        else:
            connection.close()
        self._free.release()

    def end_overdue(self) -> None:
        now = self._now()
        for connection, until in self._lent.items():
            if until <= now:
                connection.close()

    def close(self) -> None:
        """All of them, at once, whoever is using them."""
        self._closed = True
        for connection in (*self._lent, *(connection for connection, _ in self._idle)):
            connection.close()

    def _idle_one(self) -> PostgresConnection | None:
        now = self._now()
        while self._idle:
            connection, until = self._idle.pop()
            if now < until and connection.usable:
                return connection
            connection.close()
        return None

    def _lend(self, connection: PostgresConnection) -> PostgresConnection:
        if self._closed:
            connection.close()
            raise trio.ClosedResourceError
        self._lent[connection] = self._now() + self._terms.loan_s
        return connection


@contextlib.contextmanager
def ending_overdue(pools: Iterable[Pool]) -> Iterator[None]:
    """Meanwhile, what is overdue in these is ended; also in those that come later."""
    scope = trio.CancelScope()
    trio.lowlevel.spawn_system_task(_keep_ending_overdue, pools, scope)  # it waits for nobody, and cannot fail
    try:
        yield
    finally:
        scope.cancel()


async def _keep_ending_overdue(pools: Iterable[Pool], scope: trio.CancelScope) -> None:
    with scope:
        while True:
            await next_beat(LOOK_S)
            for pool in pools:
                pool.end_overdue()
