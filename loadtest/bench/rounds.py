"""The sides of a scenario in turns, A B A B, never all of one first; and the medians of what they did."""

import time
from collections.abc import Sequence
from statistics import median

from attrs import field, frozen

from gameserver.errors import GameServerError
from loadtest.bench.bench import say
from loadtest.bench.measure import Values
from loadtest.bench.scenario import Medians, Scenario, Side


@frozen
class Run:
    """One run of one side: what it measured, or why it does not count."""

    side: str
    values: dict[str, float] = field(factory=dict)
    invalid: str = ""


def measure(scenario: Scenario, sides: Sequence[Side], rounds: int) -> list[Run]:
    runs = []
    for number in range(1, rounds + 1):
        for side in sides:
            say(f"{scenario.name}, round {number} of {rounds}: {side.name}")
            began_at = time.monotonic()
            run = _run(side)
            runs.append(run)
            said = f"not valid: {run.invalid}" if run.invalid else _in_short(scenario, run.values)
            say(f"  {said} ({time.monotonic() - began_at:.0f} s)")
    return runs


def _run(side: Side) -> Run:
    try:
        return Run(side.name, dict(side.run()))
    except GameServerError as error:
        return Run(side.name, invalid=" ".join(str(error).split()))


def _in_short(scenario: Scenario, values: Values) -> str:
    shown = ((column.title, values.get(column.value), column.digits) for column in scenario.columns)
    return ", ".join(f"{title} {value:,.{digits}f}" for title, value, digits in shown if value is not None)


def by_side(runs: Sequence[Run]) -> dict[str, list[Values]]:
    """What the valid runs measured; a side may have none."""
    return {side: [run.values for run in runs if run.side == side and not run.invalid] for side in _sides(runs)}


def medians_of(runs: Sequence[Run]) -> Medians:
    return {
        side: {name: median(values[name] for values in valid) for name in valid[0]}
        for side, valid in by_side(runs).items()
        if valid
    }


def _sides(runs: Sequence[Run]) -> Sequence[str]:
    return list(dict.fromkeys(run.side for run in runs))
