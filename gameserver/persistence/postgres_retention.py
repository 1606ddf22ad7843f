"""Deletes what nobody may ask for any more, in small transactions that hold nobody up.

Journal rows go only when a snapshot covers them: whatever else happens, every actor can be restored.
"""

from typing import Final

from gameserver.persistence.postgres import Postgres
from gameserver.persistence.statements import statement

BATCH_ROWS: Final = 2_000
PRUNE_JOURNAL: Final = statement("prune_journal")
PRUNE_KEYS: Final = statement("prune_keys")
PRUNE_REFRESH_TOKENS: Final = statement("prune_refresh_tokens")
PRUNE_NODES: Final = statement("prune_nodes")


class PostgresRetention:
    def __init__(self, postgres: Postgres, batch_rows: int = BATCH_ROWS) -> None:
        self._postgres = postgres
        self._batch_rows = batch_rows

    async def prune(self, journal_days: int, key_days: int) -> int:
        """Delete journal rows and Idempotency-Keys beyond their retention, and whatever has expired by itself; gives
        how many rows went.

        Raises StorageUnavailable; what was deleted by then stays deleted.
        """
        return (
            await self._prune(PRUNE_JOURNAL, journal_days)
            + await self._prune(PRUNE_KEYS, key_days)
            + await self._prune(PRUNE_REFRESH_TOKENS)
            + await self._prune(PRUNE_NODES)
        )

    async def _prune(self, text: str, *days: int) -> int:
        total = 0
        while deleted := len(await self._postgres.fetch(text, *days, self._batch_rows)):
            total += deleted
        return total
