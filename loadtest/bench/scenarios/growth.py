"""What a delivery costs as everything grows: connections, battles, the state of a battle; one of them at a time."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from attrs import evolve, frozen

from loadtest.bench.battles import MODE, prepare
from loadtest.bench.bench import Bench
from loadtest.bench.columns import GENERATOR, RATES
from loadtest.bench.loads import ATTACK, Load, Seat, setups_of
from loadtest.bench.measure import Values
from loadtest.bench.scenario import Column, Figure, Medians, Scenario, Side
from loadtest.bench.servers import OurNode
from loadtest.bench.sides import our_run

WATCHERS: Final = 10
IN_FLIGHT: Final = 10
"""Of each battle: as many commands at a time, and as many deliveries of each, whatever the size."""
TWO_SIDES: Final = 2


@frozen
class Size:
    connections: int = 1_000
    battles: int = 100
    mode: str = MODE


USUAL: Final = Size()
AXES: Final = {
    "connections": {"100": Size(100, 10), "1,000": USUAL, "10,000": Size(10_000, 1_000)},
    "battles": {"10": Size(battles=10), "100": USUAL, "1,000": Size(battles=1_000)},
    "state": {"< 1 KB": USUAL, "10 KB": Size(mode="bench-10kb"), "100 KB": Size(mode="bench-100kb")},
}
"""The first grows in battles of ten connections, so that there are more of these, too; the second among the same
connections: with few battles most of them watch none, with many each watches ten; the third is what the game has made a
battle's state, to which a snapshot adds the outcomes that are remembered. Of each battle two players send."""


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    sizes = dict.fromkeys(size for points in AXES.values() for size in points.values())
    return [Side(side_of(size), partial(_run, bench, pace, size)) for size in sizes]


def side_of(size: Size) -> str:
    return f"{size.connections:,} in {size.battles:,} battles" + ("" if size.mode == MODE else f", {size.mode}")


def _run(bench: Bench, pace: Load, size: Size) -> Values:
    watched = watches(size)
    most = max(map(len, watched))

    def seating(nodes: Sequence[OurNode]) -> Sequence[Seat]:
        players = prepare(bench, nodes, size.battles, TWO_SIDES, size.mode)
        battles = players[: size.battles]
        others = bench.accounts(max(0, size.connections - len(players)))
        seats = [*players, *(evolve(battles[0], token=other.token) for other in others)]
        return [
            evolve(seat, setups=_setups([battles[at].battle_id for at in of_seat], most))
            for seat, of_seat in zip(seats[: size.connections], watched, strict=True)
        ]

    senders = min(size.connections, size.battles * TWO_SIDES)
    outstanding = size.battles * IN_FLIGHT // senders
    load = evolve(pace, connections=size.connections, senders=senders, outstanding=outstanding)
    return our_run(bench, load, seating, (*setups_of(most), *ATTACK))


def watches(size: Size) -> list[list[int]]:
    """The battles that each connection watches: WATCHERS connections watch each. Those who play in one, of which
    connection i is in battle i % battles, watch it."""
    places = size.battles * WATCHERS
    return [
        [(place + lap) % size.battles for lap, place in enumerate(range(connection, places, size.connections))]
        for connection in range(size.connections)
    ]


def _setups(battle_ids: Sequence[str], count: int) -> list[str]:
    """To watch these; and pings, so that each connection has as many messages before the load."""
    asked = [f'"battle:watch","payload":{{"battleId":"{battle_id}"}}' for battle_id in battle_ids]
    asked += ['"ping"'] * (count - len(asked))
    return [f'{{"id":{number},"event":{each}}}' for number, each in enumerate(asked, 1)]


def spread_of(axis: str) -> Callable[[Medians], float]:
    """What a delivery costs where it costs most, by what it costs where it costs least."""

    def spread(medians: Medians) -> float:
        costs = costs_along(axis, medians)
        return max(costs) / min(costs)

    return spread


def costs_along(axis: str, medians: Medians) -> list[float]:
    """µs per delivery at each point. Raises KeyError if one has no valid run."""
    return [medians[side_of(size)]["us_per_delivery"] for size in AXES[axis].values()]


GROWTH: Final = Scenario(
    name="growth",
    title="Cost as it grows",
    work=(
        "Each battle has ten commands in flight, and ten connections that watch it; so what a delivery costs shows "
        "what size costs. 1,000 connections watch a battle each; where there are only 10 battles, 900 of them watch "
        "none, and where there are 1,000, each watches ten.\n\n"
        "![CPU time per delivery as connections, battles and state grow](growth.svg)"
    ),
    sides=_sides,
    columns=(
        Column("server CPU per delivery, µs", "us_per_delivery", 2, spread=True),
        Column("PostgreSQL CPU per delivery, µs", "postgres_us_per_delivery", 2),
        Column("largest snapshot, KB", "snapshot_kb", 1),
        *RATES,
        Column("commands per commit", "commands_per_commit"),
        GENERATOR,
    ),
    figures=(
        Figure("µs per delivery, 100 to 10,000 connections: most by least", spread_of("connections"), most=1.5),
        Figure("µs per delivery, 10 to 1,000 battles: most by least", spread_of("battles"), most=1.5),
        Figure("µs per delivery, state of up to 100 KB: most by least", spread_of("state"), most=1.5),
    ),
    connections=max(size.connections for points in AXES.values() for size in points.values()),
)
