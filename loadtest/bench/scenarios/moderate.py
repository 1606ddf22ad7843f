"""Two nodes at moderate load: at the same time, half of each battle's players are on its node, half on the other."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from attrs import evolve

from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.crossings import another_port, two_nodes
from loadtest.bench.database import require_on_record
from loadtest.bench.loads import ATTACK, PORTS, WATCH, Load, Seat, write_paths
from loadtest.bench.measure import Values, Watched, run_wsload
from loadtest.bench.scenario import Column, Figure, Scenario, Side, value_of
from loadtest.bench.servers import OurNode

CONNECTIONS: Final = 200
BATTLES: Final = 20
RATE: Final = 400
BOTH: Final = "two nodes"


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    return (Side(BOTH, partial(_both, bench, evolve(pace, connections=CONNECTIONS // 2, rate=RATE / 2))),)


def _both(bench: Bench, load: Load) -> Values:
    """Each half has a generator of its own."""
    with two_nodes(bench) as (database, nodes):
        places = list(enumerate(prepare(bench, nodes, BATTLES, CONNECTIONS // BATTLES)))
        halves = {  # a battle's seats stand BATTLES apart
            "local": [(seat, seat.owner_port) for at, seat in places if at // BATTLES % 2 == 0],
            "crossing": [(seat, another_port(seat, nodes)) for at, seat in places if at // BATTLES % 2],
        }
        with ThreadPoolExecutor(len(halves)) as pool:
            running = {name: pool.submit(_half, bench, load, nodes, name, half) for name, half in halves.items()}
            reports = {name: run.result() for name, run in running.items()}
    require_on_record(database, sum(report["replies_total"] for report in reports.values()))
    return _values(reports)


def _half(
    bench: Bench, load: Load, nodes: Sequence[OurNode], name: str, half: Sequence[tuple[Seat, int]]
) -> dict[str, Any]:
    paths = bench.folder / f"paths-{name}.tsv"
    write_paths(paths, half)
    options = ["--paths", str(paths), *PORTS, *WATCH, *ATTACK]
    return run_wsload(bench.wsload, load, Watched([]), options, nodes[0].websocket_port)


def _values(reports: Mapping[str, Mapping[str, Any]]) -> Values:
    """The ratio is that of the run, whose two halves were measured at the same time."""
    latencies = {
        f"{name}_{quantile}_ms": report["latency_ms"][quantile]
        for name, report in reports.items()
        for quantile in ("p50", "p99")
    }
    return {**latencies, "crossing_by_local": latencies["crossing_p50_ms"] / latencies["local_p50_ms"]}


MODERATE: Final = Scenario(
    name="moderate",
    title="Two nodes at moderate load",
    work="200 connections in battles of 10; 400 commands/s are due, half of them on the battle's node, half crossing.",
    sides=_sides,
    columns=(
        Column("local p50 ms", "local_p50_ms", 1),
        Column("local p99 ms", "local_p99_ms", 1),
        Column("crossing p50 ms", "crossing_p50_ms", 1),
        Column("crossing p99 ms", "crossing_p99_ms", 1),
        Column("crossing p50 by local p50", "crossing_by_local", 2),
    ),
    figures=(Figure("crossing p50 by the local one", value_of("crossing_by_local", BOTH), most=2.5),),
)
