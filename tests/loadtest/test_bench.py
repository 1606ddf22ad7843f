"""The benchmark does not count a run in which anything went missing."""

import asyncio
from typing import Any

import asyncpg
import pytest

from gameserver.codec import encode
from gameserver.errors import StartError
from loadtest.bench.database import OnRecord, on_record, require_equal, require_on_record
from loadtest.bench.loads import Load
from loadtest.bench.measure import Watched, require_valid, values_of
from tests.loadtest.proofs import ANN, BATTLE, BEN, INSTANCE, flawless

REPORT: dict[str, Any] = {
    "conns": 10,
    "connected": 10,
    "seconds": 2.0,
    "replies_per_s": 50.0,
    "deliveries_per_s": 500.0,
    "mb_in_per_s": 0.1,
    "replies_total": 140,
    "latency_ms": {"p50": 1.0, "p99": 2.0},
    "unanswered": 0,
    "not_sent": 0,
    "errors": 0,
    "closed": 0,
    "client_cores": 0.5,
    "said": "",
}


def test_cpu_of_all_nodes_and_of_what_they_use_is_counted_per_command_and_per_delivery() -> None:
    processes = [{"cpu_s": cpu_s} for cpu_s in (0.01, 0.03, 0.005, 0.002)]
    watched = Watched([1, 2], 3, 4)
    values = values_of(REPORT | {"processes": processes}, watched)
    assert watched.option == "1,2,3+,4"
    assert (values["us_per_delivery"], values["postgres_us_per_delivery"]) == (40.0, 5.0)
    per_command = [values[f"{of}us_per_command"] for of in ("", "postgres_", "valkey_")]
    assert per_command == [400.0, 50.0, 20.0]


def test_cpu_of_a_server_that_uses_nothing_else_is_all_its_own() -> None:
    values = values_of(REPORT | {"server_cpu_s": 0.01}, Watched([1]))
    assert (values["us_per_delivery"], values["postgres_us_per_delivery"], values["bytes_per_delivery"]) == (10, 0, 200)


@pytest.mark.parametrize("wrong", ["unanswered", "not_sent", "errors", "closed"])
def test_a_run_with_trouble_does_not_count(wrong: str) -> None:
    require_valid(REPORT)
    with pytest.raises(StartError, match=f"{wrong}.*wsload: connection 1 closed$"):
        require_valid(REPORT | {wrong: 2, "said": "wsload: connection 1 closed\nwsload: connection 2 closed"})
    with pytest.raises(StartError, match="9 of 10 connected"):
        require_valid(REPORT | {"connected": 9})


def test_a_load_lasts_as_long_as_what_it_is_watched_for_by_warming_up_longer() -> None:
    assert Load(10, warmup_s=2, seconds=6).lasting(10) == Load(10, warmup_s=4, seconds=6)
    assert Load(10, warmup_s=2, seconds=30).lasting(10) == Load(10, warmup_s=2, seconds=30)


def test_what_is_on_record_has_to_equal_what_was_answered() -> None:
    require_equal(140, 140, 140, 140)
    for on_record_instead in ((139, 140, 140), (140, 141, 140), (140, 140, 139)):
        with pytest.raises(StartError, match="140 replies, but on record"):
            require_equal(140, *on_record_instead)


def test_the_record_is_counted_by_event_and_by_command(database: str) -> None:
    """Two attacks; five commands over WebSocket, one of them twice; and one over HTTP, which does not count."""
    evidence = flawless().with_outcome([ANN, INSTANCE, 2, 9]).with_outcome([BEN, "key", "hash", 9])
    asyncio.run(_store(database, evidence.rows))
    assert on_record(database) == OnRecord(attacks=2, outcomes=6, distinct=5)
    with pytest.raises(StartError, match="5 replies, but on record 2, 6, 5"):
        require_on_record(database, 5)


async def _store(database: str, rows: Any) -> None:
    connection = await asyncpg.connect(database)
    for row in rows:
        outcomes = encode(row.outcomes) if row.outcomes else b""
        values = (BATTLE, row.seq, row.first_seq, outcomes, b"\n".join(row.lines))
        await connection.execute("INSERT INTO journal VALUES ($1, $2, $3, 1, 1, $4, $5, '')", *values)
    await connection.close()
