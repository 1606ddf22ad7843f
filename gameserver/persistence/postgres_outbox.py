"""The outbox in PostgreSQL: rows written by commits, deleted when their consumers are done.

IDs are handed out before commits end, so a lower ID may appear after a higher one: nobody may remember "read up to
here", and nobody does; a row is there until it is finished.
"""

from collections.abc import Sequence
from typing import Final

from gameserver.cluster.ports import News
from gameserver.codec import decode
from gameserver.persistence.postgres import Postgres

READ: Final = "SELECT id, actor_id::text, seq, topic, payload::text FROM outbox ORDER BY id LIMIT $1"
FINISH: Final = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"


class PostgresOutbox:
    """Raises StorageUnavailable; both calls may then be made again."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def read(self, limit: int) -> Sequence[News]:
        rows = await self._postgres.fetch(READ, limit)
        return [
            News(id=row[0], actor_id=row[1], seq=row[2], topic=row[3], payload=decode(row[4].encode())) for row in rows
        ]

    async def finish(self, ids: Sequence[int]) -> None:
        if ids:
            await self._postgres.fetch(FINISH, list(ids))
