"""The one PostgreSQL of all sides: a fresh database for each run, and what it has on record afterwards."""

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from attrs import frozen

from gameserver.errors import StartError

STATEMENT_DEADLINE_S: Final = 60.0

ATTACKS = """
SELECT coalesce(sum((length(text) - length(replace(text, '"event":"battle:attack"', ''))) / 23), 0)
FROM (SELECT convert_from(public, 'UTF8') AS text FROM journal) rows
"""
OUTCOMES = """
SELECT count(*), count(DISTINCT outcome - 3)
FROM journal, jsonb_array_elements(convert_from(outcomes, 'UTF8')::jsonb) outcome
WHERE outcomes <> '' AND jsonb_typeof(outcome -> 1) = 'number'
"""
LARGEST_SNAPSHOT = (
    "SELECT coalesce(max(length(state)), 0) FROM snapshots JOIN actors ON id = actor_id WHERE kind = 'battle'"
)
BATTLE_MEMBERS = "SELECT count(*) FROM battle_members"
SOME_WAL: Final = ("SELECT pg_logical_emit_message(false, 'bench', '')", "SELECT pg_switch_wal()")
WAL_FILES: Final = 24
"""Of 16 MB each. Every run begins with a checkpoint, which frees them again."""
PEER_COMMANDS = "SELECT count(*) FROM bench_battle_commands"


@frozen
class OnRecord:
    """`outcomes` are commands over WebSocket with an outcome, `distinct` different ones."""

    attacks: int
    outcomes: int
    distinct: int


def at_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def fresh_database(url: str, name: str) -> str:
    """An empty database; what earlier runs wrote is on disk before this one begins."""
    execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}", "CHECKPOINT")
    return at_database(url, name)


def settle(url: str) -> None:
    """Have the WAL's files made, as on a server that has run for a while: to make one holds up whoever commits."""
    execute(url, *(SOME_WAL * WAL_FILES), "CHECKPOINT")


def execute(url: str, *statements: str) -> None:
    asyncio.run(_execute(url, *statements))


def write_rows(url: str, table: str, rows: Sequence[tuple[str, ...]], columns: Sequence[str] | None = None) -> None:
    asyncio.run(_copy(url, table, rows, columns))


def on_record(url: str) -> OnRecord:
    ((attacks,),) = asyncio.run(_fetch(url, ATTACKS))
    ((outcomes, distinct),) = asyncio.run(_fetch(url, OUTCOMES))
    return OnRecord(int(attacks), outcomes, distinct)


def largest_snapshot_bytes(url: str) -> int:
    """Of all battles."""
    ((size,),) = asyncio.run(_fetch(url, LARGEST_SNAPSHOT))
    return int(size)


def battle_members(url: str) -> int:
    ((count,),) = asyncio.run(_fetch(url, BATTLE_MEMBERS))
    return int(count)


def peer_commands(url: str) -> int:
    ((count,),) = asyncio.run(_fetch(url, PEER_COMMANDS))
    return int(count)


def require_on_record(url: str, replies: int) -> None:
    """In the journal of ours: every answered command, once. Raises StartError."""
    record = on_record(url)
    require_equal(replies, record.attacks, record.outcomes, record.distinct)


def require_equal(replies: int, *on_record: int) -> None:
    if any(count != replies for count in on_record):
        raise StartError(f"{replies} replies, but on record {', '.join(map(str, on_record))}")


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, command_timeout=STATEMENT_DEADLINE_S)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _copy(url: str, table: str, rows: Sequence[tuple[str, ...]], columns: Sequence[str] | None) -> None:
    connection = await asyncpg.connect(url, command_timeout=STATEMENT_DEADLINE_S)
    try:
        await connection.copy_records_to_table(table, records=rows, columns=columns)
    finally:
        await connection.close()


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url, command_timeout=STATEMENT_DEADLINE_S)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()
