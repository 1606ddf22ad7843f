"""`make simulate`: a seed that is given, or fresh ones for as long as one likes.

With a seed, `--steps` is how many troubles it has; without, how many seeds to run (0: until interrupted).
"""

import argparse
import itertools
import random
import sys
import time
from typing import Final

from tests.simulation.coverage import Coverage, not_taken
from tests.simulation.run import STEPS, explained, run

SAY_INTERVAL_S: Final = 2.0


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    arguments.add_argument("--seed", type=int, help="repeat this one")
    arguments.add_argument("--steps", type=int, default=0, help="troubles of the seed, or number of fresh seeds")
    arguments.add_argument(
        "--digest", action="store_true", help="say nothing but what the history of the seed amounts to"
    )
    given = arguments.parse_args()
    if given.seed is None:
        return run_fresh(given.steps)
    return run_one(given.seed, given.steps or STEPS, given.digest)


def run_one(seed: int, steps: int, digest: bool) -> int:
    simulation = run(seed, steps)
    if digest:
        print(simulation.history.digest())
    elif simulation.broken.promises:
        print(explained(simulation))
    else:
        print(f"{simulation.faults}\n\n{_ways(simulation.coverage)}\n")
        print(f"seed {seed}: all promises kept, {len(simulation.history.events):,} lines of history")
    return bool(simulation.broken.promises)


def run_fresh(seeds: int) -> int:
    first, coverage, began, said = random.SystemRandom().getrandbits(32), Coverage(), time.monotonic(), 0.0
    done = 0
    try:
        for done in itertools.count(1):
            simulation = run(first + done)
            if simulation.broken.promises:
                print(explained(simulation))
                return 1
            coverage.update(simulation.coverage)
            if time.monotonic() - said > SAY_INTERVAL_S or done == seeds:
                said = time.monotonic()
                missing = ", ".join(not_taken(coverage)) or "none"
                rate = done / (said - began)
                print(f"{done:,} seeds, {rate:.1f}/s, no promise broken; ways not taken yet: {missing}", flush=True)
            if done == seeds:
                break
    except KeyboardInterrupt:
        print()
    print(_ways(coverage))
    return 0


def _ways(coverage: Coverage) -> str:
    return "\n".join(f"{times:8,}  {way}" for way, times in sorted(coverage.items()) if times)


if __name__ == "__main__":
    sys.exit(main())
