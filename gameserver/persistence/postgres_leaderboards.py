"""Leaderboards by SQL: exact, and dearer the more battles there were. Redis is filled from here, and stands in front.

A group without points has no place. Groups with equal scores share a rank; among them names come in the order of their
bytes (collation "C"), which is also Redis's order.
"""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from gameserver.cluster.ports import Standing
from gameserver.persistence.postgres import Postgres

TOP: Final = """
    SELECT s.group_id::text, g.name, sum(s.score)::bigint AS score
    FROM battle_scores s JOIN groups g ON g.id = s.group_id
    WHERE s.finished_at_ms > $1
    GROUP BY s.group_id, g.name HAVING sum(s.score) > 0
    ORDER BY sum(s.score) DESC, g.name COLLATE "C", s.group_id LIMIT $2
"""

GROUP_NAME: Final = "SELECT name FROM groups WHERE id = $1"

SCORES_AFTER: Final = """
    SELECT s.battle_id::text, s.group_id::text, g.name, s.score, s.finished_at_ms
    FROM battle_scores s JOIN groups g ON g.id = s.group_id
    WHERE (s.finished_at_ms, s.battle_id) > ($1, $2::uuid)
    ORDER BY s.finished_at_ms, s.battle_id LIMIT $3
"""

TOTALS_UNTIL: Final = """
    SELECT s.group_id::text, g.name, sum(s.score)::bigint AS score
    FROM battle_scores s JOIN groups g ON g.id = s.group_id
    WHERE s.finished_at_ms <= $1 AND s.group_id > $2
    GROUP BY s.group_id, g.name ORDER BY s.group_id LIMIT $3
"""

FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@frozen
class Score:
    """What one finished battle brought its winner."""

    battle_id: str
    group_id: str
    name: str
    score: int
    finished_at_ms: int


@frozen
class Total:
    group_id: str
    name: str
    score: int


class PostgresLeaderboards:
    """Every call may raise StorageUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def top(self, after_ms: int, limit: int) -> Sequence[Standing]:
        """The best groups by what they scored in battles that were finished later than `after_ms`."""
        rows = await self._postgres.fetch(TOP, after_ms, limit)
        return ranked([Total(*row) for row in rows])

    async def group_name(self, group_id: str) -> str | None:
        row = await self._postgres.fetchrow(GROUP_NAME, group_id)
        return None if row is None else str(row[0])

    async def scores_after(self, finished_at_ms: int, battle_id: str, limit: int) -> Sequence[Score]:
        """The next page of scores behind this place, in the order of (finished_at_ms, battle_id)."""
        return [Score(*row) for row in await self._postgres.fetch(SCORES_AFTER, finished_at_ms, battle_id, limit)]

    async def totals_until(self, finished_at_ms: int, group_id: str, limit: int) -> Sequence[Total]:
        """The next page of groups behind `group_id`, with what they scored until then."""
        return [Total(*row) for row in await self._postgres.fetch(TOTALS_UNTIL, finished_at_ms, group_id, limit)]


def ranked(totals: Sequence[Total]) -> Sequence[Standing]:
    """`totals`, sorted and from the top, with their ranks: 1, 2, 2, 4."""
    standings: list[Standing] = []
    for place, total in enumerate(totals, start=1):
        ties = bool(standings) and standings[-1].score == total.score
        rank = standings[-1].rank if ties else place
        standings.append(Standing(rank, total.group_id, total.name, total.score))
    return standings
