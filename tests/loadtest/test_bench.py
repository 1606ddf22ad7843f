"""The benchmark does not count a run in which anything went missing."""

import asyncio
from typing import Any

import asyncpg
import pytest

from gameserver.codec import encode
from gameserver.errors import StartError
from loadtest.bench.__main__ import require_equal
from loadtest.bench.database import OnRecord, on_record
from loadtest.bench.measure import Measured, measured_from
from loadtest.bench.rules import rules
from tests.loadtest.proofs import ANN, BATTLE, BEN, INSTANCE, flawless

REPORT: dict[str, Any] = {
    "conns": 10,
    "connected": 10,
    "seconds": 2.0,
    "replies_per_s": 50.0,
    "deliveries_per_s": 500.0,
    "replies_total": 140,
    "latency_ms": {"p50": 1.0, "p99": 2.0},
    "unanswered": 0,
    "not_sent": 0,
    "errors": 0,
    "closed": 0,
    "client_cores": 0.5,
    "processes": [{"cpu_s": 0.01}, {"cpu_s": 0.002}],
}


def measured() -> Measured:
    return measured_from("side", REPORT, "")


def test_cpu_is_counted_per_delivery() -> None:
    assert (measured().server_cpu_us, measured().postgres_cpu_us) == (10.0, 2.0)


@pytest.mark.parametrize("wrong", ["unanswered", "not_sent", "errors", "closed"])
def test_a_run_with_trouble_does_not_count(wrong: str) -> None:
    with pytest.raises(StartError, match=wrong):
        measured_from("side", REPORT | {wrong: 1}, "")
    with pytest.raises(StartError, match="9 connected"):
        measured_from("side", REPORT | {"connected": 9}, "")


def test_what_is_on_record_has_to_equal_what_was_answered() -> None:
    require_equal("side", measured(), 140, 140, 140)
    for on_record_instead in ((139, 140, 140), (140, 141, 140), (140, 140, 139)):
        with pytest.raises(StartError, match="140 replies, but on record"):
            require_equal("side", measured(), *on_record_instead)


def test_the_record_is_counted_by_event_and_by_command(database: str) -> None:
    """Two attacks; five commands over WebSocket, one of them twice; and one over HTTP, which does not count."""
    evidence = flawless().with_outcome([ANN, INSTANCE, 2, 9]).with_outcome([BEN, "key", "hash", 9])
    asyncio.run(_store(database, evidence.rows))
    assert on_record(database) == OnRecord(attacks=2, outcomes=6, distinct=5)


async def _store(database: str, rows: Any) -> None:
    connection = await asyncpg.connect(database)
    for row in rows:
        outcomes = encode(row.outcomes) if row.outcomes else b""
        values = (BATTLE, row.seq, row.first_seq, outcomes, b"\n".join(row.lines))
        await connection.execute("INSERT INTO journal VALUES ($1, $2, $3, 1, 1, $4, $5, '')", *values)
    await connection.close()


def test_its_mode_is_one_of_its_own() -> None:
    assert rules.mode == "bench"
