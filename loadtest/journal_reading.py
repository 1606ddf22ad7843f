"""Reads from PostgreSQL what the proof needs. Plain asyncio, before and after the run: Trio is not running then."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from gameserver.codec import decode
from gameserver.errors import StartError
from loadtest.proof import Battle, Row, Score

CONNECT_DEADLINE_S: Final = 5.0
QUERY_DEADLINE_S: Final = 60.0
BATTLES_AT_ONCE: Final = 100

ROWS: Final = """
SELECT actor_id::text, first_seq, seq, outcomes, public FROM journal
WHERE actor_id = ANY($1::uuid[]) ORDER BY actor_id, seq
"""
LAST_SEQS: Final = "SELECT id::text, last_seq FROM actors WHERE id = ANY($1::uuid[]) AND kind = 'battle'"
SCORES: Final = "SELECT battle_id::text, group_id::text, score FROM battle_scores WHERE battle_id = ANY($1::uuid[])"
PLAYER: Final = "SELECT true FROM players WHERE id = $1::uuid"


def check_journal(url: str) -> None:
    """Raises StartError if there is no journal of ours at `url`."""
    asyncio.run(ask(url, "SELECT 1 FROM journal LIMIT 1"))


def knows_player(url: str, player_id: str) -> bool:
    """Whether the game whose player this is keeps its journal at `url`. Raises StartError."""
    return bool(asyncio.run(ask(url, PLAYER, player_id)))


def read_journal(url: str, battle_ids: Iterable[str]) -> tuple[dict[str, Battle], list[Score]]:
    """All battles of these IDs that the journal has, and their scores. Raises StartError."""
    return asyncio.run(_read(url, sorted(battle_ids)))


async def ask(url: str, query: str, *args: object) -> Sequence[Any]:
    connection = await _connect(url)
    try:
        return await connection.fetch(query, *args)
    except asyncpg.PostgresError as error:
        raise StartError(f"the database has no journal of this game ({error})") from error
    finally:
        await connection.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(url, timeout=CONNECT_DEADLINE_S, command_timeout=QUERY_DEADLINE_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"the journal cannot be reached: {type(error).__name__} {error}") from error


async def _read(url: str, battle_ids: Sequence[str]) -> tuple[dict[str, Battle], list[Score]]:
    battles: dict[str, Battle] = {}
    scores: list[Score] = []
    connection = await _connect(url)
    try:
        for start in range(0, len(battle_ids), BATTLES_AT_ONCE):
            some = battle_ids[start : start + BATTLES_AT_ONCE]
            rows: defaultdict[str, list[Row]] = defaultdict(list)
            for battle_id, *row in await connection.fetch(ROWS, some):
                rows[battle_id].append(_row(*row))
            for battle_id, last_seq in await connection.fetch(LAST_SEQS, some):
                battles[battle_id] = Battle(battle_id, last_seq, rows[battle_id])
            scores += [Score(*row) for row in await connection.fetch(SCORES, some)]
    finally:
        await connection.close()
    return battles, scores


def _row(first_seq: int, seq: int, outcomes: bytes, public: bytes) -> Row:
    return Row(first_seq, seq, decode(outcomes) if outcomes else (), public.split(b"\n"))
