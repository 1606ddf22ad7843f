"""Acknowledgements only: each connection alone in its battle."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve

from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.columns import GENERATOR, LATENCIES
from loadtest.bench.loads import ATTACK, GREETED, Load, Seat
from loadtest.bench.scenario import Column, Figure, Scenario, Side, ratio
from loadtest.bench.servers import OurNode
from loadtest.bench.sides import COMMITTING, IN_MEMORY, OURS, our_run, peer_run

FEW: Final = 100
MANY: Final = 1_000
TWO_SIDES: Final = 2
TALK: Final = (*GREETED, *ATTACK)


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    few, many = evolve(pace, connections=FEW), evolve(pace, connections=MANY)
    return (
        Side(_among(FEW, OURS), partial(our_run, bench, few, partial(_seating, bench, FEW), TALK)),
        Side(_among(FEW, COMMITTING), partial(peer_run, bench, few, "i", commits=True)),
        Side(_among(MANY, OURS), partial(our_run, bench, many, partial(_seating, bench, MANY), TALK)),
        Side(_among(MANY, IN_MEMORY), partial(peer_run, bench, many, "i", commits=False)),
    )


def _seating(bench: Bench, battles: int, nodes: Sequence[OurNode]) -> Sequence[Seat]:
    """A battle of ours needs somebody on the other side, who need not be connected."""
    return prepare(bench, nodes, battles, TWO_SIDES)[:battles]


def _among(connections: int, side: str) -> str:
    return f"{connections:,}: {side}"


ALONE: Final = Scenario(
    name="alone",
    title="Acknowledgement only, each connection alone in its battle",
    work="100 or 1,000 connections, each with one command in flight; nobody but the sender hears of it.",
    sides=_sides,
    columns=(
        Column("commands/s", "commands_per_s", spread=True),
        *LATENCIES,
        Column("server CPU per command, µs", "us_per_command", 1),
        Column("PostgreSQL CPU per command, µs", "postgres_us_per_command", 1),
        Column("commands per commit", "commands_per_commit"),
        GENERATOR,
    ),
    figures=(
        Figure(
            "100 connections, beside the peer that commits",
            ratio("commands_per_s", _among(FEW, OURS), _among(FEW, COMMITTING)),
            least=2.5,
        ),
        Figure(
            "1,000 connections, beside the peer in memory",
            ratio("commands_per_s", _among(MANY, OURS), _among(MANY, IN_MEMORY)),
            least=0.6,
        ),
    ),
    peer=True,
)
