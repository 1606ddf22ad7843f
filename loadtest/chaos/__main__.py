"""`make chaos`: a cluster of real nodes under play, and one fault after the other; the proof, and a table.

PostgreSQL, Valkey and the nodes are its own, in a temporary folder; what runs on this machine otherwise is left alone.

Exit code: 0 all faults were survived, and nothing was lost, doubled or out of order; 1 not so; 2 it could not be run,
and it says why.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import trio

from loadtest.chaos.limits import PLAYERS_LEAST
from loadtest.chaos.plan import FAULTS, SHORT
from loadtest.chaos.report import as_json, figures, table
from loadtest.chaos.run import Size, suffer
from loadtest.exit_codes import EXIT_FAULTS, exit_code
from loadtest.open_files import allow_open_files
from loadtest.progress import end_line
from loadtest.report import proof_report

SHORT_FORM: Final = {"seconds": 0.0, "players": 60, "battles": 12, "settle": 1.0, "faults": list(SHORT)}


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    return exit_code("chaos", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    allow_open_files(options.players)
    size = Size(options.nodes, options.players, options.battles, options.action_every, options.settle)
    with tempfile.TemporaryDirectory(prefix="gameserver chaos ") as folder:
        try:
            outcome = trio.run(suffer, size, options.seed, options.faults, options.seconds, Path(folder))
        finally:
            _keep_logs(Path(folder), options.logs)
    end_line()
    print(proof_report(outcome.verdict))
    print("\n".join(["", *figures(outcome), "", table(outcome)]))
    if options.json:
        options.json.write_text(json.dumps(as_json(outcome)))
    return 0 if outcome.good else EXIT_FAULTS


def _keep_logs(folder: Path, logs: Path | None) -> None:
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        for log in chain(folder.glob("*.log"), folder.glob("log/*.log")):
            shutil.copy(log, logs)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.short:
        parser.set_defaults(**SHORT_FORM)
        options = parser.parse_args(argv)
    if options.players // options.battles < PLAYERS_LEAST:
        parser.error(f"{options.players} players are too few for {options.battles} battles")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help="no fault begins later (default: %(default)s)")
    parser.add_argument("--players", type=int, default=1_000, help="playing all the time (default: %(default)s)")
    parser.add_argument("--battles", type=int, default=200, help="at a time (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--action-every", type=float, default=2.0, metavar="S", help="per player (default: 2)")
    parser.add_argument("--faults", type=_faults, default=list(FAULTS), help=f"some of {','.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=1, help="what is drawn from it repeats itself (default: 1)")
    parser.add_argument("--settle", type=float, default=3.0, metavar="S", help="between two faults (default: 3)")
    parser.add_argument("--short", action="store_true", help="a small one, of half a minute, as in the tests")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the logs of nodes and servers there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there, too")
    return parser


def _faults(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - FAULTS.keys():
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # it leaves nothing behind either
    sys.exit(main())
