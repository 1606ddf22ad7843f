"""The schema, as numbered SQL files that are applied once each and never change afterwards.

Every file is one transaction together with its row in `schema_migrations`: it is applied wholly or not at all. An
advisory lock lets two nodes that start at the same time take turns. A file whose text is no longer the one that was
applied, or that was applied but is missing here, stops everything: the schema would not be what the code believes.
"""

import hashlib
from importlib.resources import files
from typing import Any, Final, TypeAlias

import psycopg

from gameserver.errors import StartError
from gameserver.persistence.postgres_connection import conninfo_of

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

LOCK_KEY: Final = 0x67616D65  # any constant of our own: "game"
CONNECT_DEADLINE_S: Final = 10

HISTORY: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def migrate(database_url: str) -> list[str]:
    """Apply what is missing and give the names of the files applied now.

    Blocking: for the command line and for tests, never from a Trio task. Raises StartError.
    """
    try:
        conninfo = conninfo_of(database_url)
        with psycopg.connect(**conninfo, autocommit=True, connect_timeout=CONNECT_DEADLINE_S) as connection:
            return _migrate(connection, _files())
    except psycopg.Error as error:
        raise StartError(f"the database schema could not be brought up to date: {error}") from error


def _files() -> dict[str, str]:
    folder = files("gameserver.persistence") / "migrations"
    found = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return dict(sorted(found.items()))


def _migrate(connection: Connection, wanted: dict[str, str]) -> list[str]:
    connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])  # ends with the connection
    connection.execute(HISTORY)
    applied: dict[str, str] = dict(connection.execute("SELECT name, checksum FROM schema_migrations").fetchall())
    _refuse_differences(wanted, applied)
    missing = [name for name in wanted if name not in applied]
    for name in missing:
        _apply(connection, name, wanted[name])
    return missing


def _apply(connection: Connection, name: str, text: str) -> None:
    with connection.transaction():
        connection.execute(text.encode())
        connection.execute("INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)", [name, _checksum(text)])


def _refuse_differences(wanted: dict[str, str], applied: dict[str, str]) -> None:
    for name, checksum in applied.items():
        if name not in wanted:
            raise StartError(f"the database has the migration {name}, which this version does not know")
        if _checksum(wanted[name]) != checksum:
            raise StartError(f"the migration {name} was changed after it had been applied; write a new one instead")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
