"""The proof reads the journal of a real PostgreSQL as it is."""

import asyncio

import asyncpg
import pytest
from attrs import evolve

from gameserver.codec import encode
from gameserver.errors import StartError
from loadtest.journal_reading import check_journal, knows_player, read_journal
from loadtest.proof import prove
from tests.loadtest.proofs import ANN, BATTLE, BEN, WINNERS, flawless


@pytest.fixture
def journal(database: str) -> str:
    """A database that holds the flawless battle."""
    asyncio.run(_store(database))
    return database


async def _store(database: str) -> None:
    evidence = flawless()
    connection = await asyncpg.connect(database)
    actor = "INSERT INTO actors (id, kind, mode, rules_version, seed, last_seq) VALUES ($1, 'battle', 'm', 1, 's', $2)"
    await connection.execute(actor, BATTLE, evidence.last_seq)
    for row in evidence.rows:
        outcomes = encode(row.outcomes) if row.outcomes else b""
        values = (BATTLE, row.seq, row.first_seq, outcomes, b"\n".join(row.lines))
        await connection.execute("INSERT INTO journal VALUES ($1, $2, $3, 1, 1, $4, $5, '')", *values)
    await connection.execute("INSERT INTO battle_scores VALUES ($1, $2, 9, 0)", BATTLE, WINNERS)
    await connection.execute("INSERT INTO players VALUES ($1, 'ann', NULL, 0)", ANN)
    await connection.close()


def test_a_flawless_journal_proves_a_flawless_run(journal: str) -> None:
    battles, scores = read_journal(journal, [BATTLE, ANN])
    assert list(battles) == [BATTLE]
    assert [evolve(row, outcomes=list(row.outcomes)) for row in battles[BATTLE].rows] == flawless().rows
    assert prove(flawless().recording, battles, scores).faults == []


def test_a_row_that_is_gone_is_found(journal: str) -> None:
    asyncio.run(_execute(journal, "DELETE FROM journal WHERE seq = 6"))
    assert "journal broken" in prove(flawless().recording, *read_journal(journal, [BATTLE])).by_kind


def test_another_games_journal_is_told_apart(journal: str) -> None:
    assert knows_player(journal, ANN)
    assert not knows_player(journal, BEN)


def test_no_journal_is_named(postgres_server: str) -> None:
    with pytest.raises(StartError, match="no journal of this game"):
        check_journal(postgres_server)
    with pytest.raises(StartError, match="cannot be reached"):
        check_journal("postgresql://nobody@/nothing?host=%2Fnowhere")


async def _execute(database: str, statement: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(statement)
    await connection.close()
