"""The schema, as numbered SQL files that are applied once each and never change afterwards.

Every file is one transaction together with its row in `schema_migrations`: it is applied wholly or not at all. An
advisory lock lets two nodes that start at the same time take turns. A file whose text is no longer the one that was
applied, or that was applied but is missing here, stops everything: the schema would not be what the code believes.
"""

import asyncio
import hashlib
from importlib.resources import files
from typing import Final

import asyncpg

from gameserver.errors import StartError

LOCK_KEY: Final = 0x67616D65  # any constant of our own: "game"
CONNECT_DEADLINE_S: Final = 10.0

HISTORY: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def migrate(database_url: str) -> list[str]:
    """Apply what is missing and give the names of the files applied now.

    Blocking, with an event loop of its own: for the command line and for tests, never from a Trio task.
    Raises StartError.
    """
    try:
        return asyncio.run(_migrate(database_url, _files()))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise StartError(f"the database schema could not be brought up to date: {error}") from error


def _files() -> dict[str, str]:
    folder = files("gameserver.persistence") / "migrations"
    found = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return dict(sorted(found.items()))


async def _migrate(database_url: str, wanted: dict[str, str]) -> list[str]:
    connection = await asyncpg.connect(database_url, timeout=CONNECT_DEADLINE_S)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)  # ends with the connection
        await connection.execute(HISTORY)
        applied = {row["name"]: row["checksum"] for row in await connection.fetch("SELECT * FROM schema_migrations")}
        _refuse_differences(wanted, applied)
        missing = [name for name in wanted if name not in applied]
        for name in missing:
            await _apply(connection, name, wanted[name])
        return missing
    finally:
        await connection.close(timeout=CONNECT_DEADLINE_S)


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", name: str, text: str) -> None:
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", name, _checksum(text)
        )


def _refuse_differences(wanted: dict[str, str], applied: dict[str, str]) -> None:
    for name, checksum in applied.items():
        if name not in wanted:
            raise StartError(f"the database has the migration {name}, which this version does not know")
        if _checksum(wanted[name]) != checksum:
            raise StartError(f"the migration {name} was changed after it had been applied; write a new one instead")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
