"""docs/benchmarks.md and its plot, written from what was measured last of each scenario."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from loadtest.bench.kept import Kept
from loadtest.bench.plot import Curve, plot
from loadtest.bench.rounds import medians_of
from loadtest.bench.scenarios import SCENARIOS
from loadtest.bench.scenarios.growth import AXES, GROWTH, costs_along
from loadtest.bench.table import figures_table, section

DOCS: Final = Path(__file__).parents[2] / "docs"

HEAD: Final = """\
# Benchmarks

Written by `make bench`, which measures all of this again in some twenty minutes; `--only NAME` measures one part anew.

Every command of this server is committed to PostgreSQL (fsync on) before anyone sees it. The peer is a Node.js `ws`
server that does the same work, in memory or with an INSERT for each command (`loadtest/bench/peer/`); `sendlimit` is a
loop in C. All sides take turns in one sitting, each freshly started, one at a time, with one PostgreSQL whose WAL has
its files already, as that of a server has that has run for a while: read the ratios. Where no game is
named, our nodes play what the peer plays, and no more: the mode `bench` of `loadtest/bench/rules.py`. Rates belong to
one machine and one day, and server, PostgreSQL and load generator share its cores; CPU per delivery is steadier than
any rate. Shown are medians of the rounds, with the least and the most. In a closed loop each connection has one command
in flight, so its latency is mostly waiting in line; latency under a given load is what the open loop shows. A run
counts only if no reply is missing, no connection was lost, and what is on record afterwards equals what was answered,
to the command.
"""


def write_document(measured: Mapping[str, Kept], docs: Path = DOCS) -> None:
    scenarios = list(SCENARIOS.values())
    sections = [section(scenario, measured[scenario.name]) for scenario in scenarios if scenario.name in measured]
    parts = [HEAD, figures_table(measured, scenarios), *sections]
    (docs / "benchmarks.md").write_text("\n\n".join(part.strip() for part in parts) + "\n")
    if GROWTH.name in measured:
        _write_plot(measured[GROWTH.name], docs / "growth.svg")


def _write_plot(kept: Kept, file: Path) -> None:
    medians = medians_of(kept.runs)
    try:
        curves = [Curve(axis, list(points), costs_along(axis, medians)) for axis, points in AXES.items()]
    except KeyError:  # a size without a valid run: the table says so, and the old plot would be wrong
        file.unlink(missing_ok=True)
    else:
        file.write_text(plot("server CPU per delivery, µs", curves))
