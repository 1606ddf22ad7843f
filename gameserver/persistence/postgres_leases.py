"""Leases of nodes, by PostgreSQL's clock: the row of a name holds the incarnation that may own actors, and until when.

They have a connection of their own: a renewal that waited behind slow queries would cost the node all its actors.
"""

import contextlib
import math
import uuid
from collections.abc import AsyncIterator
from typing import Final

import trio

from gameserver.cluster.ports import Lease, Renewal
from gameserver.errors import StorageUnavailable
from gameserver.persistence.postgres import Connections, Postgres, own_connection
from gameserver.persistence.postgres_connection import Rows

REGISTER: Final = """
INSERT INTO nodes (name, incarnation, lease_until, started_at)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms', clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET incarnation = excluded.incarnation, lease_until = excluded.lease_until, started_at = excluded.started_at
"""
RENEW: Final = """
UPDATE nodes SET lease_until = clock_timestamp() + $3 * interval '1 ms' WHERE name = $1 AND incarnation = $2
RETURNING 1
"""
RESIGN: Final = "DELETE FROM nodes WHERE name = $1 AND incarnation = $2"
CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms"


@contextlib.asynccontextmanager
async def open_postgres_leases(postgres: Postgres, lease_ms: int) -> AsyncIterator["PostgresLeases"]:
    """Leases that hold for `lease_ms` from each registration and renewal."""
    async with own_connection(postgres, postgres.settings.lease_deadline_ms) as connection:
        yield PostgresLeases(connection, lease_ms)


class PostgresLeases:
    """Use it through `open_postgres_leases`."""

    def __init__(self, connection: Connections, lease_ms: int) -> None:
        self._connection = connection
        self._lease_ms = lease_ms
        self._asked: Lease | None = None

    async def register(self, name: str) -> tuple[Lease, Renewal]:
        # What got no answer is said again in the same words: heard late, it would depose another lease.
        self._asked = lease = self._asked or Lease(name, uuid.uuid4().hex)
        await self._fetch(REGISTER, lease.name, lease.incarnation, self._lease_ms)
        renewal = await self._renewal(held=True)
        self._asked = None
        return lease, renewal

    async def renew(self, lease: Lease) -> Renewal:
        rows = await self._fetch(RENEW, lease.name, lease.incarnation, self._lease_ms)
        return await self._renewal(held=bool(rows))

    async def resign(self, lease: Lease) -> None:
        await self._fetch(RESIGN, lease.name, lease.incarnation)

    async def _renewal(self, *, held: bool) -> Renewal:
        """With PostgreSQL's clock: it was read in the middle of the round trip, as far as we can know.

        A question by itself, because writing a lease waits for the disk, at one end of its round trip.
        """
        asked_at = trio.current_time()
        rows = await self._fetch(CLOCK)
        half_ms = math.ceil((trio.current_time() - asked_at) * 1_000 / 2)
        return Renewal(held, postgres_ms=int(rows[0].now_ms) + half_ms, error_ms=half_ms)

    async def _fetch(self, text: str, *args: object) -> Rows:
        # A lost answer is harmless: registering and renewing again give the same.
        return await self._connection.fetch(text, *args, lost=StorageUnavailable)
