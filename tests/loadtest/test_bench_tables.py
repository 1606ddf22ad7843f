"""What the benchmark says is what its runs measured: medians, what is asked beside what is reached, what went wrong."""

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gameserver.errors import StartError
from loadtest.bench.document import write_document
from loadtest.bench.kept import Kept, conditions_now, keep, read_kept
from loadtest.bench.loads import Load
from loadtest.bench.measure import Values
from loadtest.bench.plot import Curve, plot
from loadtest.bench.rounds import Run, measure, medians_of
from loadtest.bench.scenario import Column, Figure, Scenario, Side, ratio
from loadtest.bench.scenarios import SCENARIOS
from loadtest.bench.scenarios.growth import GROWTH
from loadtest.bench.table import figures_table, section

RACE = Scenario(
    name="race",
    title="A race",
    work="Both run.",
    sides=lambda _bench, _pace: (),
    columns=(Column("laps/s", "laps_per_s", spread=True), Column("shoes", "shoes")),
    figures=(Figure("laps/s", ratio("laps_per_s", "hare", "tortoise"), least=4),),
)


def run(side: str, laps_per_s: float, **others: float) -> Run:
    return Run(side, {"laps_per_s": laps_per_s, **others})


def kept(*runs: Run) -> Kept:
    return Kept("On grass.", list(runs))


def last_cell(scenario: Scenario, *runs: Run) -> list[str]:
    row = figures_table({scenario.name: kept(*runs)}, [scenario]).splitlines()[-1]
    return [cell.strip() for cell in row.strip("|").split("|")][2:]


def test_the_sides_take_turns() -> None:
    ran: list[str] = []

    def side(name: str) -> Side:
        def run_once() -> Values:
            ran.append(name)
            return {"laps_per_s": 1.0}

        return Side(name, run_once)

    runs = measure(RACE, [side("hare"), side("tortoise")], rounds=2)
    assert ran == [run.side for run in runs] == ["hare", "tortoise"] * 2


def test_a_run_that_does_not_count_is_left_out_and_said() -> None:
    numbers = count(1)

    def stumble() -> Values:
        if next(numbers) == 2:
            raise StartError("fell\n over")
        return {"laps_per_s": 10.0}

    runs = measure(RACE, [Side("hare", stumble)], rounds=3)
    assert medians_of(runs) == {"hare": {"laps_per_s": 10.0}}
    assert "A run of hare was not valid and does not count: fell over" in section(RACE, kept(*runs))


def test_a_row_is_medians_with_the_least_and_the_most_and_a_dash_where_nothing_was_measured() -> None:
    text = section(RACE, kept(run("hare", 30), run("hare", 10), run("hare", 1_020), run("tortoise", 2, shoes=4)))
    assert "| hare | 30 (10–1,020) | – |" in text  # noqa: RUF001
    assert "| tortoise | 2 (2–2) | 4 |" in text  # noqa: RUF001


def test_a_figure_is_a_ratio_of_medians_beside_what_is_asked() -> None:
    slow, fast = run("tortoise", 2), [run("hare", rate) for rate in (7, 9, 100)]
    assert last_cell(RACE, slow, *fast) == ["≥ 4×", "4.50×", "reached"]  # noqa: RUF001
    assert last_cell(RACE, slow, run("hare", 7)) == ["≥ 4×", "3.50×", "missed"]  # noqa: RUF001
    most = evolve(RACE, figures=(Figure("laps/s", RACE.figures[0].of, most=4, unit=" ms"),))
    assert last_cell(most, slow, run("hare", 9)) == ["≤ 4 ms", "4.50 ms", "missed"]


def test_a_figure_without_a_valid_run_of_a_side_was_not_measured() -> None:
    assert last_cell(RACE, run("hare", 7), Run("tortoise", invalid="asleep"))[1:] == ["–", "not measured"]  # noqa: RUF001


def test_it_is_said_when_the_generator_was_the_limit() -> None:
    busy = kept(run("hare", 7, generator_cores=0.95), run("tortoise", 2, generator_cores=0.2))
    assert "The generator was at its own limit beside hare" in section(RACE, busy)
    assert "tortoise:" not in section(RACE, busy)
    assert "limit" not in section(evolve(RACE, spins=True), busy)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_each_figure_is_of_sides_that_take_part(scenario: Scenario) -> None:
    sides = sides_of(scenario)
    medians = {side.name: defaultdict(lambda: 1.0) for side in sides}
    assert len(medians) == len(sides)
    assert all(figure.of(medians) == 1 for figure in scenario.figures)
    assert all((figure.least is None) != (figure.most is None) for figure in scenario.figures)


def sides_of(scenario: Scenario) -> Sequence[Side]:
    nothing: Any = None
    return scenario.sides(nothing, Load(connections=0, warmup_s=1, seconds=1))


def test_the_document_is_written_from_what_was_kept(tmp_path: Path) -> None:
    costs = {side.name: Run(side.name, {"us_per_delivery": 2.0}) for side in sides_of(GROWTH)}
    keep(tmp_path / "kept", "growth", Kept(conditions_now(3, 6), list(costs.values())))
    measured = read_kept(tmp_path / "kept", list(SCENARIOS))
    assert list(measured) == ["growth"]
    write_document(measured, tmp_path)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "10 to 1,000 battles: most by least | ≤ 1.5× | 1.00× | reached |" in text  # noqa: RUF001
    assert "3 alternating rounds of 6 s." in text
    assert "growth.svg" in text
    assert (tmp_path / "growth.svg").exists()
    write_document({"growth": kept(*list(costs.values())[1:])}, tmp_path)
    assert not (tmp_path / "growth.svg").exists()


def test_equal_costs_stand_at_the_same_height_and_half_the_cost_at_half_the_height() -> None:
    svg = ET.fromstring(plot("µs", [Curve("a", ["1", "2"], [4, 4]), Curve("b", ["1"], [2])]))
    bottom = float(next(svg.iter("{http://www.w3.org/2000/svg}line")).attrib["y1"])
    points = [circle.attrib for circle in svg.iter("{http://www.w3.org/2000/svg}circle")]
    first, second, half = (bottom - float(point["cy"]) for point in points)
    assert first == second == half * 2
    assert len({point["cx"] for point in points}) == 3
