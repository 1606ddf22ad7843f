"""Runs seeds, and tells what broke: the seed, how to repeat it, its faults, and what happened last."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio
from trio.testing import MockClock

from tests.simulation.coverage import Coverage, not_taken
from tests.simulation.determinism import ordered_by
from tests.simulation.faults import Faults
from tests.simulation.log_lines import heard_by
from tests.simulation.simulation import Simulation

STEPS: Final = 6
"""Troubles in a run."""

LAST_LINES: Final = 60
FOLDER: Final = Path("build/simulation")


def run(seed: int, steps: int = STEPS) -> Simulation:
    """It is over when this returns."""
    simulation = Simulation(Faults.drawn(seed, steps))
    with ordered_by(seed), heard_by(simulation.broken):
        trio.run(simulation.run, clock=MockClock(autojump_threshold=0), instruments=[simulation.frost_watch])
    return simulation


def explained(simulation: Simulation) -> str:
    """For people, of a run that broke a promise; the whole history goes into a file."""
    faults, lines = simulation.faults, simulation.history.lines()
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"seed-{faults.seed}.txt"
    file.write_text("\n".join(lines) + "\n")
    steps = len(faults.troubles)
    broken = [f"BROKEN {promise}: {how}" for promise, how in simulation.broken.promises]
    how_to = f"SEED={faults.seed}    again: make simulate SEED={faults.seed} STEPS={steps}    whole history: {file}"
    return "\n".join(["", str(faults), "", *lines[-LAST_LINES:], "", *broken, how_to])


def prove(seeds: Iterable[int]) -> None:
    """Raises AssertionError if one of these seeds breaks a promise, or if there is a way that none of them takes."""
    coverage = Coverage()
    for seed in seeds:
        simulation = run(seed)
        assert not simulation.broken.promises, explained(simulation)
        coverage.update(simulation.coverage)
    assert not not_taken(coverage), f"no seed has taken these ways: {', '.join(not_taken(coverage))}"
