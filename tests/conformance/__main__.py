"""`make conformance`: Autobahn's fuzzing client against an echo session on each transport, and on trio_websocket alone.

A transport passes if nothing failed and it is nowhere less strict than trio_websocket alone. The suite's own pages,
with each octet that was sent, are in build/conformance/SIDE/report/index.html.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gameserver.errors import StartError
from loadtest.bench.servers import answers, child, wait
from loadtest.node_environment import free_ports
from tests.conformance.autobahn import NOT_RUN, fuzz, install
from tests.conformance.echo import SIDES
from tests.conformance.report import Outcome, Outcomes, not_accepted, table

FOLDER: Final = Path(__file__).parents[2] / "build" / "conformance"
REFERENCE: Final = "library"
EXIT_NOT_ACCEPTED: Final = 1
EXIT_NOT_RUN: Final = 2


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    arguments.add_argument("--transport", choices=SIDES, action="append", help="these sides only (default: all)")
    arguments.add_argument("--cases", default="*", help="these cases only, by comma: 5.*,7.1.1 (default: all)")
    given = arguments.parse_args()
    try:
        python = install(FOLDER / "autobahn")
        sides = {
            side: _measure(python, side, given.cases.split(",")) for side in SIDES if side in (given.transport or SIDES)
        }
    except StartError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return EXIT_NOT_RUN
    return _judge(sides)


def _measure(python: Path, side: str, cases: list[str]) -> Outcomes:
    with _echo(side) as port:
        found = fuzz(python, side, port, cases, FOLDER / side)
    return {case: Outcome(one["behavior"], one["behaviorClose"]) for case, one in found.items()}


@contextmanager
def _echo(side: str) -> Iterator[int]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (port,), log = free_ports(1), FOLDER / f"echo {side}.log"
    command = [sys.executable, "-m", "tests.conformance.echo", "--transport", side, "--port", str(port)]
    with child(command, os.environ, log) as process:
        wait(process, lambda: answers(port), log)
        yield port


def _judge(sides: dict[str, Outcomes]) -> int:
    reference = sides.get(REFERENCE, {})
    failing = {side: not_accepted(outcomes, reference) for side, outcomes in sides.items() if side != REFERENCE}
    print(f"\n{table(sides)}\n\nNot run: {', '.join(NOT_RUN)} (compression is off by decision).")
    for side, outcomes in sides.items():
        for case, outcome in outcomes.items():
            if outcome.worse != "OK":
                print(f"{side} {case}: {outcome.behavior}, closing {outcome.closing}")
    for side, cases in failing.items():
        print(f"{side}: not accepted: {', '.join(cases)}" if cases else f"{side}: nothing to complain of")
    return EXIT_NOT_ACCEPTED if any(failing.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
