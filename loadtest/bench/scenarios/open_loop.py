"""Latency under a given load: commands are due on a fixed schedule, and a late answer counts from when it was due."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve

from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.columns import COSTS, GENERATOR, LAG, LATENCIES, RATES
from loadtest.bench.loads import Load
from loadtest.bench.scenario import Figure, Scenario, Side, ratio, value_of
from loadtest.bench.sides import COMMITTING, LAG_WINDOW_S, OURS, our_run, peer_run

CONNECTIONS: Final = 1_000
BATTLES: Final = 100
MODERATE_RATE: Final = 2_000
HIGH_RATE: Final = 5_000


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    load = evolve(pace, connections=CONNECTIONS).lasting(LAG_WINDOW_S)
    moderate, high = evolve(load, rate=MODERATE_RATE), evolve(load, rate=HIGH_RATE)
    seating = partial(prepare, bench, battles=BATTLES, size=CONNECTIONS // BATTLES)
    return (
        Side(_at(MODERATE_RATE, OURS), partial(our_run, bench, moderate, seating)),
        Side(_at(MODERATE_RATE, COMMITTING), partial(peer_run, bench, moderate, f"i%{BATTLES}", commits=True)),
        Side(_at(HIGH_RATE, OURS), partial(our_run, bench, high, seating)),
    )


def _at(rate: int, side: str) -> str:
    return f"{rate:,}/s: {side}"


OPEN_LOOP: Final = Scenario(
    name="open-loop",
    title="Open loop over 1,000 connections in battles of 10",
    work="2,000 or 5,000 commands are due per second, answered or not; latency counts from when a command was due.",
    sides=_sides,
    columns=(*RATES, *LATENCIES, *COSTS, LAG, GENERATOR),
    figures=(
        Figure(
            "2,000/s: p99 beside the peer that commits",
            ratio("p99_ms", _at(MODERATE_RATE, OURS), _at(MODERATE_RATE, COMMITTING)),
            most=1,
        ),
        Figure("5,000/s: p50", value_of("p50_ms", _at(HIGH_RATE, OURS)), most=2.5, unit=" ms"),
        Figure("5,000/s: p99", value_of("p99_ms", _at(HIGH_RATE, OURS)), most=10, unit=" ms"),
    ),
    peer=True,
)
