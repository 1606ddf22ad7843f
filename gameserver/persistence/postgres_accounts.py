"""Accounts in PostgreSQL: players, their sessions, names of groups, and outcomes of HTTP requests.

Each call is one statement, and harmless to repeat: a lost answer costs nothing but another try.
"""

from typing import Any, Final

from gameserver.cluster.ports import Remembered
from gameserver.config import AuthSettings
from gameserver.errors import CommitRejected, Refused
from gameserver.net.ports import PlayerRow
from gameserver.persistence.postgres import Postgres, violated

CREATE_PLAYER: Final = """
WITH known AS (
    SELECT id, username, telegram_id, created_at_ms, creation_request_hash FROM players WHERE creation_key_hash = $5
), made AS (
    INSERT INTO players (id, username, telegram_id, created_at_ms, creation_key_hash, creation_request_hash)
    SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM known)
    RETURNING id, username, telegram_id, created_at_ms, creation_request_hash
), token AS (
    INSERT INTO refresh_tokens (id, player_id, token_hash, expires_at)
    SELECT gen_random_uuid(), id, $7, now() + $8 * interval '1 s' FROM made
)
SELECT id::text, username, telegram_id, created_at_ms, creation_request_hash
FROM (SELECT * FROM known UNION ALL SELECT * FROM made) AS player
"""

CREATED_UNDER: Final = """
SELECT id::text, username, telegram_id, created_at_ms, creation_request_hash FROM players WHERE creation_key_hash = $1
"""

PLAYER: Final = "SELECT id::text, username, telegram_id, created_at_ms FROM players WHERE id = $1"

ACHIEVED: Final = "SELECT coalesce(sum(achieved), 0)::bigint AS total FROM battle_members WHERE player_id = $1"

REFRESH: Final = """
UPDATE refresh_tokens SET expires_at = now() + $2 * interval '1 s' WHERE token_hash = $1 AND expires_at > now()
RETURNING player_id::text, id::text
"""

REVOKE: Final = "DELETE FROM refresh_tokens WHERE id = $1 RETURNING 1"

# A name belongs to the group that has it; one that was only reserved may be taken over after a minute.
RESERVE_GROUP_NAME: Final = """
INSERT INTO group_names AS taken (name, group_id) VALUES (lower($1), $2)
ON CONFLICT (name) DO UPDATE SET group_id = excluded.group_id, reserved_at = now()
WHERE taken.group_id = excluded.group_id
   OR taken.reserved_at < now() - interval '1 minute' AND NOT EXISTS (SELECT FROM groups WHERE id = taken.group_id)
RETURNING 1
"""

REMEMBERED: Final = """
SELECT request_hash, actor_id::text, seq, answer FROM idempotency_keys WHERE player_id = $1 AND key = $2
"""


class PostgresAccounts:
    def __init__(self, postgres: Postgres, settings: AuthSettings) -> None:
        self._postgres = postgres
        self._refresh_token_ttl_s = settings.refresh_token_ttl_s

    async def create_player(
        self, player: PlayerRow, refresh_token_hash: bytes, creation_key_hash: bytes | None, request_hash: str
    ) -> PlayerRow:
        values = player.id, player.username, player.telegram_id, player.created_at_ms, creation_key_hash, request_hash
        try:
            row = await self._postgres.fetchrow(CREATE_PLAYER, *values, refresh_token_hash, self._refresh_token_ttl_s)
        except CommitRejected as error:
            if violated(error) is None:
                raise
            row = await self._twin(creation_key_hash)
        assert row is not None
        if row.creation_request_hash != request_hash:
            raise Refused("idempotency_key_reused")
        return PlayerRow(*row[:4])

    async def _twin(self, creation_key_hash: bytes | None) -> Any:
        """The player of the same request, sent twice at the same time; otherwise the username is another player's."""
        row = await self._postgres.fetchrow(CREATED_UNDER, creation_key_hash) if creation_key_hash else None
        if row is None:
            raise Refused("username_taken")
        return row

    async def player(self, player_id: str) -> PlayerRow | None:
        row = await self._postgres.fetchrow(PLAYER, player_id)
        return PlayerRow(*row) if row else None

    async def achieved(self, player_id: str) -> int:
        row = await self._postgres.fetchrow(ACHIEVED, player_id)
        return int(row.total) if row else 0

    async def refresh(self, refresh_token_hash: bytes) -> tuple[str, str] | None:
        row = await self._postgres.fetchrow(REFRESH, refresh_token_hash, self._refresh_token_ttl_s)
        return (row[0], row[1]) if row else None

    async def revoke(self, session_id: str) -> bool:
        return await self._postgres.fetchrow(REVOKE, session_id) is not None

    async def reserve_group_name(self, name: str, group_id: str) -> bool:
        return await self._postgres.fetchrow(RESERVE_GROUP_NAME, name, group_id) is not None

    async def remembered(self, player_id: str, key: str) -> Remembered | None:
        row = await self._postgres.fetchrow(REMEMBERED, player_id, key)
        return Remembered(*row) if row else None
