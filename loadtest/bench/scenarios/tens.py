"""Battles of ten at full load, and how late the node's event loop is under it."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve

from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.columns import COSTS, GENERATOR, LAG, LATENCIES, RATES
from loadtest.bench.loads import Load
from loadtest.bench.rules import CLASSIC
from loadtest.bench.scenario import Figure, Scenario, Side, ratio, value_of
from loadtest.bench.sides import COMMITTING, IN_MEMORY, LAG_WINDOW_S, OURS, our_run, peer_run

OURS_WITH_CLASSIC: Final = "the same, playing `classic`"
CONNECTIONS: Final = 1_000
BATTLES: Final = 100


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    load = evolve(pace, connections=CONNECTIONS).lasting(LAG_WINDOW_S)
    battle = f"i%{BATTLES}"
    seating = partial(prepare, bench, battles=BATTLES, size=CONNECTIONS // BATTLES)
    return (
        Side(OURS, partial(our_run, bench, load, seating)),
        Side(OURS_WITH_CLASSIC, partial(our_run, bench, load, partial(seating, mode=CLASSIC))),
        Side(IN_MEMORY, partial(peer_run, bench, load, battle, commits=False)),
        Side(COMMITTING, partial(peer_run, bench, load, battle, commits=True)),
    )


TENS: Final = Scenario(
    name="tens",
    title="1,000 connections in battles of 10",
    work="Each has one command in flight; each command goes to the ten players of its battle, the sender included. "
    "Beside it, the same with a game that has rules to think about.",
    sides=_sides,
    columns=(*RATES, *LATENCIES, *COSTS, LAG, GENERATOR),
    figures=(
        Figure("commands/s beside the peer in memory", ratio("commands_per_s", OURS, IN_MEMORY), least=5),
        Figure("commands/s beside the peer that commits", ratio("commands_per_s", OURS, COMMITTING), least=8),
        Figure("loop lag p99 at full load", value_of("loop_lag_p99_ms", OURS), most=5, unit=" ms"),
    ),
    peer=True,
)
