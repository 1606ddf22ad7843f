"""`make bench`: one node and two beside a Node.js peer that does the same work, in memory and with a commit per
command, and beside other things, scenario by scenario.

All sides of a scenario in one sitting, one at a time, in turns; one PostgreSQL for all, with the same settings. Runs of
full length on the default edge are kept, and docs/benchmarks.md is written from the last ones of each scenario; what
was asked for otherwise (--quick, --side, --edge, less than the usual time) is only shown.

Where the node's time goes: pip install py-spy, then, while `--only tens --side this --rounds 1 --seconds 30` runs,
py-spy record -d 10 -o profile.svg -p PID (or py-spy top -p PID) with the process number that is shown.
"""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gameserver.errors import GameServerError, StartError
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from loadtest.bench.bench import Bench, say
from loadtest.bench.database import settle
from loadtest.bench.document import DOCS, write_document
from loadtest.bench.kept import Kept, conditions_now, keep, read_kept
from loadtest.bench.loads import Load
from loadtest.bench.rounds import measure
from loadtest.bench.scenario import Scenario
from loadtest.bench.scenarios import SCENARIOS
from loadtest.bench.table import figures_table, section
from loadtest.bench.tools import build_peer, build_sendlimit, build_wsload
from loadtest.open_files import allow_open_files

FOLDER: Final = Path(__file__).parents[2] / "build" / "bench"
KEPT: Final = FOLDER / "kept"
EXIT_FAILED: Final = 1

ROUNDS: Final = 3
SECONDS: Final = 6.0
WARMUP_S: Final = 2.0
QUICK_SECONDS: Final = 2.0
QUICK_WARMUP_S: Final = 1.0


def main(argv: list[str] | None = None) -> int:
    """0: measured; 1: it could not be, or a run was not valid: what is on record was not what was answered, say."""
    options = _parser().parse_args(argv)
    if options.quick:
        options.rounds, options.seconds, options.warmup = 1, QUICK_SECONDS, QUICK_WARMUP_S
    try:
        measured = _measure(options, [SCENARIOS[name] for name in options.only or SCENARIOS])
    except GameServerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED
    _show(measured, options)
    if any(run.invalid for kept in measured.values() for run in kept.runs):
        return EXIT_FAILED
    return 0


def _measure(options: argparse.Namespace, scenarios: Sequence[Scenario]) -> dict[str, Kept]:
    """What is worth keeping is kept after each scenario. Raises StartError."""
    allow_open_files(max(scenario.connections for scenario in scenarios))
    FOLDER.mkdir(parents=True, exist_ok=True)
    wsload, sendlimit = build_wsload(FOLDER), build_sendlimit(FOLDER)
    peer = build_peer(FOLDER) if any(scenario.peer for scenario in scenarios) else []
    measured = {}
    postgres, valkey = EmbeddedPostgres(FOLDER), EmbeddedValkey(FOLDER)
    with postgres as postgres_url, valkey as redis_url:
        settle(postgres_url)
        bench = Bench(
            wsload=wsload,
            sendlimit=sendlimit,
            peer=peer,
            postgres_url=postgres_url,
            postgres_pid=postgres.pid,
            redis_url=redis_url,
            valkey_pid=valkey.pid,
            folder=FOLDER,
            edge=options.edge,
            signing_key=secrets.token_urlsafe(32),
        )
        for scenario in scenarios:
            measured[scenario.name] = kept = _measure_one(bench, scenario, options)
            if _is_full(options):
                keep(KEPT, scenario.name, kept)
                write_document(read_kept(KEPT, list(SCENARIOS)))
    return measured


def _measure_one(bench: Bench, scenario: Scenario, options: argparse.Namespace) -> Kept:
    pace = Load(connections=0, warmup_s=options.warmup, seconds=options.seconds)
    sides = [side for side in scenario.sides(bench, pace) if options.side.lower() in side.name.lower()]
    if not sides:
        raise StartError(f"no side of {scenario.name} has {options.side!r} in its name")
    return Kept(conditions_now(options.rounds, options.seconds), measure(scenario, sides, options.rounds))


def _is_full(options: argparse.Namespace) -> bool:
    long_enough = options.rounds >= ROUNDS and options.seconds >= SECONDS and options.warmup >= WARMUP_S
    return long_enough and not options.side and not options.edge


def _show(measured: dict[str, Kept], options: argparse.Namespace) -> None:
    tables = [section(SCENARIOS[name], kept) for name, kept in measured.items()]
    result = "\n\n".join([*tables, figures_table(measured, list(SCENARIOS.values()))])
    (FOLDER / "result.md").write_text(result + "\n")
    print(result)
    say(f"written to {FOLDER / 'result.md'}" + (f" and {DOCS / 'benchmarks.md'}" if _is_full(options) else ""))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="NAME", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--side", default="", metavar="TEXT", help="only sides with this in their name")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that all works")
    parser.add_argument(
        "--rounds", type=int, choices=range(1, 21), metavar="N", default=ROUNDS, help="rounds (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measured time of a run (default: %(default)s)")
    parser.add_argument(
        "--warmup", type=float, default=WARMUP_S, help="time under load before it, in seconds (default: %(default)s)"
    )
    parser.add_argument(
        "--edge",
        metavar="NAME",
        default=os.environ.get("GAMESERVER_EDGE", ""),
        help="hub or trio-websocket, the transport of our nodes (default: GAMESERVER_EDGE, or theirs)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
