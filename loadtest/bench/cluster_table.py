"""What a cluster costs, as two tables in Markdown; the figures that are asked stand in their heads."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from loadtest.bench.cluster import CROSSING, MODERATE_CROSSING, MODERATE_LOCAL
from loadtest.bench.measure import Measured
from loadtest.bench.sides import OUR_NODE

THROUGHPUT_LEAST: Final = 0.25
LATENCY_MOST: Final = 2.5


def cluster_tables(runs: Sequence[Measured], rate: float) -> str:
    """Of the runs with our nodes; '' if none of them was on a cluster."""
    local, crossing = _of(runs, OUR_NODE), _of(runs, CROSSING)
    near, far = _of(runs, MODERATE_LOCAL), _of(runs, MODERATE_CROSSING)
    parts = [
        *([throughput_table(local, crossing)] if local and crossing else []),
        *([latency_table(near, far, rate)] if near and far else []),
    ]
    return "\n\n".join(parts)


def throughput_table(local: Sequence[Measured], crossing: Sequence[Measured]) -> str:
    head = (
        "| | commands/s | per node | of one node's | p50 ms | p99 ms "
        "| CPU per command, µs: nodes + PostgreSQL + Valkey | commands per CPU second of the nodes "
        f"| of one node's (asked: {THROUGHPUT_LEAST:g}× or more) |\n"  # noqa: RUF001
        "|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, _throughput_row(local, local), _throughput_row(crossing, local)])


def _throughput_row(runs: Sequence[Measured], local: Sequence[Measured]) -> str:
    """Two ratios: by the nodes that were there, busy or not; and by the CPU time that they took."""
    cpu = (_median(runs, lambda run, at=at: run.command_cpu_us[at]) for at in range(3))  # type: ignore[misc]
    per_node, per_cpu_s = _median(runs, _commands_per_node), _median(runs, _commands_per_cpu_s)
    cells = (
        runs[0].side,
        f"{_median(runs, lambda run: run.commands_per_s):,.0f}",
        f"{per_node:,.0f}",
        f"{per_node / _median(local, _commands_per_node):.2f}×",  # noqa: RUF001
        f"{_median(runs, lambda run: run.p50_ms):,.0f}",
        f"{_median(runs, lambda run: run.p99_ms):,.0f}",
        " + ".join(f"{each:.0f}" for each in cpu),
        f"{per_cpu_s:,.0f}",
        f"{per_cpu_s / _median(local, _commands_per_cpu_s):.2f}×",  # noqa: RUF001
    )
    return f"| {' | '.join(cells)} |"


def latency_table(near: Sequence[Measured], far: Sequence[Measured], rate: float) -> str:
    """The ratio is that of each run, whose two halves were measured at the same time."""
    ratios = [there.p50_ms / here.p50_ms for here, there in zip(near, far, strict=True)]
    head = (
        f"| {near[0].connections * 2:,} connections, {rate:,.0f} commands/s | p50 ms | p99 ms "
        f"| crossing p50 of the local one (asked: {LATENCY_MOST:g}× or less) |\n|---|---|---|---|"  # noqa: RUF001
    )
    rows = [_latency_row("local", near, ""), _latency_row("crossing", far, f"{median(ratios):.2f}×")]  # noqa: RUF001
    return "\n".join([head, *rows])


def _latency_row(name: str, runs: Sequence[Measured], ratio: str) -> str:
    p50, p99 = _median(runs, lambda run: run.p50_ms), _median(runs, lambda run: run.p99_ms)
    return f"| {name} | {p50:.1f} | {p99:.1f} | {ratio} |"


def _commands_per_node(run: Measured) -> float:
    return run.commands_per_s / run.servers


def _commands_per_cpu_s(run: Measured) -> float:
    return 1e6 / run.command_cpu_us[0]


def _of(runs: Sequence[Measured], side: str) -> list[Measured]:
    return [run for run in runs if run.side == side]


def _median(runs: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    return median(value(run) for run in runs)
