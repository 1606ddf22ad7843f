"""The benchmark does not count a run in which anything went missing."""

import asyncio
from typing import Any

import asyncpg
import pytest
from attrs import evolve

from gameserver.codec import encode
from gameserver.errors import StartError
from loadtest.bench.cluster import CROSSING, MODERATE_CROSSING, MODERATE_LOCAL
from loadtest.bench.cluster_table import cluster_tables
from loadtest.bench.database import OnRecord, on_record
from loadtest.bench.measure import Measured, Watched, measured_from
from loadtest.bench.rules import rules
from loadtest.bench.sides import OUR_NODE, require_equal
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
WATCHED = Watched([1], 2)


def measured() -> Measured:
    return measured_from("side", REPORT, "", WATCHED)


def test_cpu_is_counted_per_delivery() -> None:
    assert (measured().server_cpu_us, measured().postgres_cpu_us) == (10.0, 2.0)


def test_cpu_of_all_nodes_and_of_what_they_use_is_counted_per_command() -> None:
    processes = [{"cpu_s": cpu_s} for cpu_s in (0.01, 0.03, 0.005, 0.002)]
    measured = measured_from("side", REPORT | {"processes": processes}, "", Watched([1, 2], 3, 4))
    assert (measured.servers, measured.command_cpu_us) == (2, (400.0, 50.0, 20.0))
    assert Watched([1, 2], 3, 4).option == "1,2,3+,4"


def test_the_cost_of_crossing_is_a_ratio_per_node_and_per_cpu_second() -> None:
    one = evolve(measured(), side=OUR_NODE, commands_per_s=4_000.0, command_cpu_us=(200.0, 5.0, 1.0))
    two = evolve(one, side=CROSSING, servers=2, commands_per_s=5_000.0, command_cpu_us=(400.0, 8.0, 2.0))
    row = cluster_tables([one, two], 400).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [CROSSING, "5,000", "2,500", "0.62×", "1", "2", "400 + 8 + 2", "2,500", "0.50×"]  # noqa: RUF001


def test_the_cost_of_crossing_at_moderate_load_is_the_median_of_the_runs_own_ratios() -> None:
    runs = []
    for near_ms, far_ms in ((1.0, 2.0), (10.0, 15.0), (4.0, 12.0)):
        runs.append(evolve(measured(), side=MODERATE_LOCAL, p50_ms=near_ms))
        runs.append(evolve(measured(), side=MODERATE_CROSSING, p50_ms=far_ms))
    assert cluster_tables(runs, 400).splitlines()[-2:] == [
        "| local | 4.0 | 2.0 |  |",
        "| crossing | 12.0 | 2.0 | 2.00× |",  # noqa: RUF001
    ]


def test_runs_on_one_node_alone_have_no_table_of_the_cluster() -> None:
    assert cluster_tables([evolve(measured(), side=OUR_NODE)], 400) == ""


@pytest.mark.parametrize("wrong", ["unanswered", "not_sent", "errors", "closed"])
def test_a_run_with_trouble_does_not_count(wrong: str) -> None:
    with pytest.raises(StartError, match=wrong):
        measured_from("side", REPORT | {wrong: 1}, "", WATCHED)
    with pytest.raises(StartError, match="9 connected"):
        measured_from("side", REPORT | {"connected": 9}, "", WATCHED)


def test_what_is_on_record_has_to_equal_what_was_answered() -> None:
    require_equal("side", 140, 140, 140, 140)
    for on_record_instead in ((139, 140, 140), (140, 141, 140), (140, 140, 139)):
        with pytest.raises(StartError, match="140 replies, but on record"):
            require_equal("side", 140, *on_record_instead)


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
