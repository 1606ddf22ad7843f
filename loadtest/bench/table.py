"""The result as a table in Markdown: medians of the rounds, the least and the most, and where and when it was made."""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from loadtest.bench.measure import Load, Measured
from loadtest.bench.tools import node_version

Value = Callable[[Measured], float]


def table(runs: Sequence[Measured], ours: str, load: Load, battles: int) -> str:
    sides = list(dict.fromkeys(run.side for run in runs))
    by_side = {side: [run for run in runs if run.side == side] for side in sides}
    head = (
        "| | commands/s | deliveries/s | p50 ms | p99 ms | CPU per delivery, µs: server + PostgreSQL "
        "| commands per commit | our ratio |\n|---|---|---|---|---|---|---|---|"
    )
    ours_rate = _median(by_side[ours], _commands)
    rows = [_row(side, by_side[side], ours_rate) for side in sides]
    versions = f"Python {platform.python_version()}" + (f", Node.js {node_version()}" if sides != [ours] else "")
    return "\n".join([head, *rows, "", _conditions(runs, load, battles, versions)])


def _row(side: str, runs: Sequence[Measured], ours_rate: float) -> str:
    rates = [run.commands_per_s for run in runs]
    per_commit = [run.commands_per_commit for run in runs if run.commands_per_commit is not None]
    cells = (
        side,
        f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",  # noqa: RUF001 - a range
        f"{_median(runs, lambda run: run.deliveries_per_s):,.0f}",
        f"{_median(runs, lambda run: run.p50_ms):,.0f}",
        f"{_median(runs, lambda run: run.p99_ms):,.0f}",
        f"{_median(runs, lambda run: run.server_cpu_us):.1f} + {_median(runs, lambda run: run.postgres_cpu_us):.1f}",
        f"{median(per_commit):,.0f}" if per_commit else "–",  # noqa: RUF001
        f"{ours_rate / median(rates):.2f}×",  # noqa: RUF001
    )
    return f"| {' | '.join(cells)} |"


def _conditions(runs: Sequence[Measured], load: Load, battles: int, versions: str) -> str:
    rounds = max(sum(run.side == side for run in runs) for side in {run.side for run in runs})
    client = max(run.client_cores for run in runs)
    return (
        f"{load.connections:,} connections in {battles} battles, each with one command in flight; medians of {rounds} "
        f"alternating rounds of {load.seconds:g} s (least–most). {_machine()}, {versions}, "  # noqa: RUF001
        f"{datetime.now(UTC):%Y-%m-%d}. "
        f"The load generator took up to {client:.0%} of a core of the same machine."
    )


def _machine() -> str:
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{len(os.sched_getaffinity(0))} cores of {model}, Linux {platform.release().partition('-')[0]}"


def _commands(run: Measured) -> float:
    return run.commands_per_s


def _median(runs: Sequence[Measured], value: Value) -> float:
    return median(value(run) for run in runs)
