"""Facts about groups and battles, from the rows that commits write: as of the last commit, one query for all."""

from collections.abc import Sequence
from typing import Any, Final

from gameserver.cluster.ports import (
    AttackFacts,
    BattleFacts,
    BattleKnown,
    BattleQuestion,
    Remembered,
    Whereabouts,
)
from gameserver.game.rules import Side
from gameserver.ids import is_uuid
from gameserver.persistence.postgres import Postgres

WHEREABOUTS: Final = """
SELECT a.id::text AS actor_id, n.name AS owner, a.last_seq, a.wake_at_ms IS NOT NULL AS has_timer
FROM actors a LEFT JOIN nodes n
    ON n.name = a.owner AND n.incarnation = a.incarnation AND n.lease_until > clock_timestamp()
WHERE a.id = ANY($1::uuid[])
"""

ABOUT_BATTLES: Final = """
SELECT b.group_attacker::text AS attacker, b.group_defender::text AS defender,
    EXISTS (SELECT FROM group_members m
        WHERE m.group_id = b.group_attacker AND m.player_id = asked.player_id AND m.left_at_ms IS NULL) AS attacks,
    EXISTS (SELECT FROM group_members m
        WHERE m.group_id = b.group_defender AND m.player_id = asked.player_id AND m.left_at_ms IS NULL) AS defends,
    EXISTS (SELECT FROM groups g WHERE g.id IN (b.group_attacker, b.group_defender)
        AND g.owner_id = asked.player_id AND NOT g.closed) AS owner,
    k.request_hash, k.actor_id::text, k.seq, k.answer
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS asked (battle_id, player_id, key, place)
LEFT JOIN battles b ON b.id = asked.battle_id
LEFT JOIN idempotency_keys k ON k.player_id = asked.player_id AND k.key = asked.key
ORDER BY asked.place
"""

ABOUT_ATTACK: Final = """
SELECT EXISTS (SELECT FROM groups WHERE id = $1) AS attacker_exists,
    EXISTS (SELECT FROM groups WHERE id = $2) AS defender_exists,
    EXISTS (SELECT FROM groups WHERE id = $2 AND NOT closed) AS defender_open,
    EXISTS (SELECT FROM group_members
        WHERE group_id = $2 AND player_id = $3 AND left_at_ms IS NULL) AS player_in_defender
"""

MEMBERS_AMONG: Final = """
SELECT DISTINCT player_id::text FROM group_members
WHERE group_id = ANY($1::uuid[]) AND player_id = ANY($2::uuid[]) AND left_at_ms IS NULL
"""


class PostgresFacts:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def whereabouts(self, actor_ids: Sequence[str]) -> Sequence[Whereabouts]:
        """What is no UUID names no actor."""
        rows = await self._postgres.fetch(WHEREABOUTS, [actor_id for actor_id in actor_ids if is_uuid(actor_id)])
        return [Whereabouts(**row._asdict()) for row in rows]

    async def about_battles(self, asked: Sequence[BattleQuestion]) -> Sequence[BattleKnown]:
        """What is no UUID names no battle; it must not spoil the answers to everybody else in the batch."""
        battles = [each.battle_id if is_uuid(each.battle_id) else None for each in asked]
        players, keys = [each.player_id for each in asked], [each.key for each in asked]
        rows = await self._postgres.fetch(ABOUT_BATTLES, battles, players, keys)
        return [BattleKnown(_battle_facts(row), _remembered(row)) for row in rows]

    async def about_attack(self, attacker: str, defender: str, player_id: str) -> AttackFacts:
        row = await self._postgres.fetchrow(ABOUT_ATTACK, attacker, defender, player_id)
        assert row is not None
        return AttackFacts(*row)

    async def members_among(self, group_ids: Sequence[str], players: Sequence[str]) -> Sequence[str]:
        rows = await self._postgres.fetch(MEMBERS_AMONG, list(group_ids), list(players))
        return [row.player_id for row in rows]


def _battle_facts(row: Any) -> BattleFacts | None:
    if row.attacker is None:
        return None
    sides: list[Side] = []
    if row.attacks:
        sides.append("attacker")
    if row.defends:
        sides.append("defender")
    return BattleFacts(row.attacker, row.defender, tuple(sides), row.owner)


def _remembered(row: Any) -> Remembered | None:
    if row.seq is None:
        return None
    return Remembered(row.request_hash, row.actor_id, row.seq, row.answer)
