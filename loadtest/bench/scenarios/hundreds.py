"""Battles of a hundred at full load."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve

from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.columns import COSTS, GENERATOR, LATENCIES, RATES
from loadtest.bench.loads import Load
from loadtest.bench.scenario import Figure, Scenario, Side, ratio
from loadtest.bench.sides import IN_MEMORY, OURS, our_run, peer_run

CONNECTIONS: Final = 1_000
BATTLES: Final = 10


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    load = evolve(pace, connections=CONNECTIONS)
    seating = partial(prepare, bench, battles=BATTLES, size=CONNECTIONS // BATTLES)
    return (
        Side(OURS, partial(our_run, bench, load, seating)),
        Side(IN_MEMORY, partial(peer_run, bench, load, f"i%{BATTLES}", commits=False)),
    )


HUNDREDS: Final = Scenario(
    name="hundreds",
    title="1,000 connections in battles of 100",
    work="Each has one command in flight; each command goes to the hundred players of its battle.",
    sides=_sides,
    columns=(*RATES, *LATENCIES, *COSTS, GENERATOR),
    figures=(Figure("commands/s beside the peer in memory", ratio("commands_per_s", OURS, IN_MEMORY), least=40),),
    peer=True,
)
