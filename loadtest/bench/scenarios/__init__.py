"""All that is measured, one file each."""

from typing import Final

from loadtest.bench.scenarios.alone import ALONE
from loadtest.bench.scenarios.crossing import CROSSING
from loadtest.bench.scenarios.fan_out import FAN_OUT
from loadtest.bench.scenarios.growth import GROWTH
from loadtest.bench.scenarios.hundreds import HUNDREDS
from loadtest.bench.scenarios.idle import IDLE
from loadtest.bench.scenarios.joins import JOINS
from loadtest.bench.scenarios.moderate import MODERATE
from loadtest.bench.scenarios.open_loop import OPEN_LOOP
from loadtest.bench.scenarios.tens import TENS

SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (TENS, HUNDREDS, ALONE, FAN_OUT, OPEN_LOOP, IDLE, CROSSING, MODERATE, GROWTH, JOINS)
}
