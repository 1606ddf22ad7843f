"""Lists in PostgreSQL: pages of the rows that commits project.

Every page is a range of an index: it begins right after the cursor, or at the end of the order if there is none.
"""

from collections.abc import Sequence
from typing import Any, Final

from gameserver.codec import decode
from gameserver.net.ports import BattleMemberRow, BattleRow, Cursor, GroupMemberRow, GroupRow
from gameserver.persistence.postgres import Postgres

FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
FIRST: Final = (-1, FIRST_ID)
LAST: Final = (2**63 - 1, LAST_ID)

GROUP: Final = "SELECT id::text, name, owner_id::text, meta::text, created_at_ms FROM groups WHERE id = $1"

GROUPS: Final = """
SELECT g.id::text, name, owner_id::text, meta::text, created_at_ms FROM groups g
WHERE (created_at_ms, g.id) < ($1, $2::uuid) AND NOT closed ORDER BY created_at_ms DESC, g.id DESC LIMIT $3
"""

GROUP_MEMBERS: Final = """
SELECT m.player_id::text, p.username, m.role, m.joined_at_ms FROM group_members m JOIN players p ON p.id = m.player_id
WHERE m.group_id = $1 AND (m.joined_at_ms, m.player_id) > ($2, $3::uuid) AND m.left_at_ms IS NULL
ORDER BY m.joined_at_ms, m.player_id LIMIT $4
"""

BATTLE_COLUMNS: Final = """
b.id::text, b.group_attacker::text, b.group_defender::text, b.mode, b.state, b.initiator_id::text,
b.winner_group_id::text, b.score, b.reason, b.created_at_ms, b.started_at_ms, b.finished_at_ms
"""

BATTLE: Final = f"SELECT {BATTLE_COLUMNS} FROM battles b WHERE b.id = $1"  # noqa: S608

# What was not asked for is NULL, and gone from the plan: plans are made for the values.
BATTLES: Final = f"""
SELECT {BATTLE_COLUMNS} FROM battles b
WHERE (b.created_at_ms, b.id) < ($1, $2::uuid)
  AND ($4::text IS NULL OR b.state = $4)
  AND ($5::uuid IS NULL OR b.group_attacker = $5 OR b.group_defender = $5)
  AND ($6::uuid IS NULL OR b.id IN (SELECT battle_id FROM battle_members WHERE player_id = $6))
ORDER BY b.created_at_ms DESC, b.id DESC LIMIT $3
"""  # noqa: S608

BATTLE_MEMBERS: Final = """
SELECT m.player_id::text, p.username, m.role, m.side, m.joined_at_ms
FROM battle_members m JOIN players p ON p.id = m.player_id
WHERE m.battle_id = $1 AND (m.joined_at_ms, m.player_id) > ($2, $3::uuid)
ORDER BY m.joined_at_ms, m.player_id LIMIT $4
"""

ACTORS: Final = """
SELECT a.id::text, kind, mode, rules_version, epoch, last_seq, owner, wake_at_ms, set_aside FROM actors a
WHERE a.id > $1 ORDER BY a.id LIMIT $2
"""


class PostgresLists:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def group(self, group_id: str) -> GroupRow | None:
        row = await self._postgres.fetchrow(GROUP, group_id)
        return _group(row) if row else None

    async def groups(self, after: Cursor | None, limit: int) -> Sequence[GroupRow]:
        return [_group(row) for row in await self._postgres.fetch(GROUPS, *_position(after, LAST), limit)]

    async def group_members(self, group_id: str, after: Cursor | None, limit: int) -> Sequence[GroupMemberRow]:
        rows = await self._postgres.fetch(GROUP_MEMBERS, group_id, *_position(after, FIRST), limit)
        return [GroupMemberRow(*row) for row in rows]

    async def battle(self, battle_id: str) -> BattleRow | None:
        row = await self._postgres.fetchrow(BATTLE, battle_id)
        return BattleRow(*row) if row else None

    async def battles(
        self, state: str | None, group_id: str | None, player_id: str | None, after: Cursor | None, limit: int
    ) -> Sequence[BattleRow]:
        position = _position(after, LAST)
        rows = await self._postgres.fetch(BATTLES, *position, limit, state, group_id, player_id)
        return [BattleRow(*row) for row in rows]

    async def battle_members(self, battle_id: str, after: Cursor | None, limit: int) -> Sequence[BattleMemberRow]:
        rows = await self._postgres.fetch(BATTLE_MEMBERS, battle_id, *_position(after, FIRST), limit)
        return [BattleMemberRow(*row) for row in rows]

    async def actors(self, after: Cursor | None, limit: int) -> Sequence[dict[str, Any]]:
        rows = await self._postgres.fetch(ACTORS, after[0] if after else FIRST_ID, limit)
        return [row._asdict() for row in rows]


def _position(after: Cursor | None, beyond: tuple[int, str]) -> tuple[int, str]:
    return (int(after[0]), after[1]) if after else beyond


def _group(row: Any) -> GroupRow:
    group_id, name, owner_id, meta, created_at_ms = row
    return GroupRow(group_id, name, owner_id, decode(meta.encode()), created_at_ms)
