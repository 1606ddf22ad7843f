"""What a scenario is: sides that do the same work in turns, what is shown of each, and what is asked of the medians."""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from loadtest.bench.bench import Bench
from loadtest.bench.loads import Load
from loadtest.bench.measure import Values

Medians = Mapping[str, Values]
"""Of all valid rounds, by side."""


@frozen
class Side:
    """`run` raises StartError for a run that does not count."""

    name: str
    run: Callable[[], Values]


@frozen
class Column:
    """`value` is the name of what is shown; with its `spread`, the least and the most of the rounds stand beside it."""

    title: str
    value: str
    digits: int = 0
    spread: bool = False


@frozen
class Figure:
    """What is asked: `of` the medians at least, or at most, so much of a unit. `of` raises KeyError for a side that has
    no valid run."""

    what: str
    of: Callable[[Medians], float]
    least: float | None = None
    most: float | None = None
    unit: str = "×"  # noqa: RUF001


@frozen
class Scenario:
    """`sides` are made for a bench and for the pace of its runs: a load of which only the times count. `peer`: one of
    them is the Node.js peer. `spins`: the generator takes a whole core, and that says nothing."""

    name: str
    title: str
    work: str
    sides: Callable[[Bench, Load], Sequence[Side]]
    columns: Sequence[Column]
    figures: Sequence[Figure]
    connections: int = 1_000
    peer: bool = False
    spins: bool = False


def ratio(value: str, of: str, to: str) -> Callable[[Medians], float]:
    return lambda medians: medians[of][value] / medians[to][value]


def value_of(value: str, side: str) -> Callable[[Medians], float]:
    return lambda medians: medians[side][value]
