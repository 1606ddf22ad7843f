"""What tests of the journal on a real PostgreSQL need: nodes, strangers' locks, appends that wait."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import trio

from gameserver.actors.ports import Activation, Entry, Journal
from gameserver.config import PostgresSettings
from gameserver.errors import JournalError
from gameserver.persistence.bridge import Bridge
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_journal import open_postgres_journal
from gameserver.persistence.postgres_leases import open_postgres_leases

LONG_MS = 10_000
WAITING = "(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests' AND wait_event_type = 'Lock')"
COMMITS_ENDED = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '-- What one commit%' AND state = 'active')"


class Node:
    """What a node has of PostgreSQL, in one test."""

    def __init__(self, bridge: Bridge, resources: AsyncExitStack) -> None:
        self.bridge, self._resources = bridge, resources

    async def journal(self, url: str, name: str = "node-a", **settings: Any) -> tuple[Journal, Postgres]:
        """A journal that commits over `url`."""
        enter = self._resources.enter_async_context
        postgres = await enter(open_postgres(PostgresSettings(url=url, **settings), "tests", LONG_MS))
        leases = await enter(open_postgres_leases(postgres, lease_ms=60_000))
        lease, _ = await leases.register(name)
        return await enter(open_postgres_journal(postgres, lambda: lease)), postgres


@asynccontextmanager
async def transaction(bridge: Bridge, url: str, statement: str) -> AsyncIterator[None]:
    """A stranger's transaction that keeps its locks to the end of the block, and is rolled back."""
    connection = await bridge.call(lambda: asyncpg.connect(url), deadline_ms=LONG_MS)
    await bridge.call(connection.execute, f"BEGIN; {statement}", deadline_ms=LONG_MS)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await bridge.call(connection.close, deadline_ms=LONG_MS)


def holding_score(actor: Activation) -> str:
    return f"INSERT INTO battle_scores VALUES ('{actor.actor_id}', '{actor.actor_id}', 0, 0)"


async def until(postgres: Postgres, condition: str) -> None:
    with trio.fail_after(5):
        while not (await postgres.fetch(f"SELECT ({condition})"))[0][0]:  # PostgreSQL has no event
            await trio.sleep(0.01)


async def statements_wait(postgres: Postgres, count: int) -> None:
    """Until so many statements of ours wait for a lock."""
    await until(postgres, f"{WAITING} >= {count}")


class Appending:
    """An append that runs beside the test."""

    def __init__(self, nursery: trio.Nursery, journal: Journal, entries: list[Entry]) -> None:
        self.landed: frozenset[str] | None = None
        self.error: JournalError | None = None
        self._done = trio.Event()
        nursery.start_soon(self._run, journal, entries)

    async def _run(self, journal: Journal, entries: list[Entry]) -> None:
        try:
            self.landed = await journal.append(entries)
        except JournalError as error:
            self.error = error
        self._done.set()

    async def ended(self) -> None:
        with trio.fail_after(5):
            await self._done.wait()
