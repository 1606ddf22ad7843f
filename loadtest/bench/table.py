"""What was measured as tables in Markdown: a scenario's sides, medians of the rounds with the least and the most; and
what is asked beside what was reached."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from loadtest.bench.kept import Kept
from loadtest.bench.measure import Values
from loadtest.bench.rounds import Run, by_side, medians_of
from loadtest.bench.scenario import Column, Figure, Medians, Scenario

NONE: Final = "–"  # noqa: RUF001
GENERATOR_LIMIT_CORES: Final = 0.9
"""Beyond it, and without spinning, the generator is what was measured."""


def section(scenario: Scenario, kept: Kept) -> str:
    notes = [*_at_the_limit(scenario, kept.runs), *_invalid(kept.runs), kept.conditions]
    return "\n\n".join([f"## {scenario.title}", scenario.work, _sides_table(scenario, kept.runs), " ".join(notes)])


def figures_table(measured: Mapping[str, Kept], scenarios: Sequence[Scenario]) -> str:
    lines = ["| work | figure | asked | reached | |", "|---|---|---|---|---|"]
    for scenario in scenarios:
        if scenario.name in measured:
            medians = medians_of(measured[scenario.name].runs)
            lines += [_figure_row(scenario, figure, medians) for figure in scenario.figures]
    return "\n".join(lines)


def _figure_row(scenario: Scenario, figure: Figure, medians: Medians) -> str:
    bound = f"≥ {figure.least:,g}{figure.unit}" if figure.least is not None else f"≤ {figure.most:,g}{figure.unit}"
    try:
        reached = figure.of(medians)
    except KeyError:
        return f"| {scenario.title} | {figure.what} | {bound} | {NONE} | not measured |"
    return (
        f"| {scenario.title} | {figure.what} | {bound} | {_short(reached)}{figure.unit} | {_verdict(figure, reached)} |"
    )


def _verdict(figure: Figure, reached: float) -> str:
    short = figure.least is not None and reached < figure.least
    over = figure.most is not None and reached > figure.most
    return "missed" if short or over else "reached"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _sides_table(scenario: Scenario, runs: Sequence[Run]) -> str:
    head = ["", *(column.title for column in scenario.columns)]
    rows = [[side, *(_cell(column, valid) for column in scenario.columns)] for side, valid in by_side(runs).items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _cell(column: Column, valid: Sequence[Values]) -> str:
    values = sorted(run[column.value] for run in valid if column.value in run)
    if not values:
        return NONE
    middle, least, most = (f"{value:,.{column.digits}f}" for value in (median(values), values[0], values[-1]))
    return f"{middle} ({least}{NONE}{most})" if column.spread else middle


def _at_the_limit(scenario: Scenario, runs: Sequence[Run]) -> list[str]:
    if scenario.spins:
        return []
    return [
        f"The generator was at its own limit beside {side}: {values['generator_cores']:.2f} of its core."
        for side, values in medians_of(runs).items()
        if values.get("generator_cores", 0) > GENERATOR_LIMIT_CORES
    ]


def _invalid(runs: Sequence[Run]) -> list[str]:
    return [f"A run of {run.side} was not valid and does not count: {run.invalid}" for run in runs if run.invalid]
