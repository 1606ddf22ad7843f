"""The one PostgreSQL of all sides: a fresh database for each run, and what it has on record afterwards."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
from attrs import frozen

STATEMENT_DEADLINE_S = 60.0

ATTACKS = """
SELECT coalesce(sum((length(text) - length(replace(text, '"event":"battle:attack"', ''))) / 23), 0)
FROM (SELECT convert_from(public, 'UTF8') AS text FROM journal) rows
"""
OUTCOMES = """
SELECT count(*), count(DISTINCT outcome - 3)
FROM journal, jsonb_array_elements(convert_from(outcomes, 'UTF8')::jsonb) outcome
WHERE outcomes <> '' AND jsonb_typeof(outcome -> 1) = 'number'
"""
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
    asyncio.run(_execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}", "CHECKPOINT"))
    return at_database(url, name)


def on_record(url: str) -> OnRecord:
    ((attacks,),) = asyncio.run(_fetch(url, ATTACKS))
    ((outcomes, distinct),) = asyncio.run(_fetch(url, OUTCOMES))
    return OnRecord(int(attacks), outcomes, distinct)


def peer_commands(url: str) -> int:
    ((count,),) = asyncio.run(_fetch(url, PEER_COMMANDS))
    return int(count)


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, command_timeout=STATEMENT_DEADLINE_S)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url, command_timeout=STATEMENT_DEADLINE_S)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()
