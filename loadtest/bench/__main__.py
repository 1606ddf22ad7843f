"""`make bench`: one node beside a Node.js peer that does the same work, in memory and with a commit per command; and
two nodes beside one, to see what it costs that commands cross from node to node.

All sides in one sitting, one at a time, in turns; one PostgreSQL for all, with the same settings. A run counts only if
what is on record afterwards equals what was answered, to the command.

Where the node's time goes: pip install py-spy, then, while `--only ours --rounds 1 --seconds 30` says "measuring",
py-spy record -d 10 -o profile.svg -p PID (or py-spy top -p PID) with the process number that is shown.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import asdict

from gameserver.errors import GameServerError
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from loadtest.bench.cluster import measure_crossing, measure_moderate
from loadtest.bench.cluster_table import cluster_tables
from loadtest.bench.measure import Load, Measured
from loadtest.bench.sides import HALF, OUR_NODE, PEER_DURABLE, PEER_IN_MEMORY, Bench, say
from loadtest.bench.table import table
from loadtest.bench.tools import build_peer, build_wsload
from loadtest.open_files import allow_open_files

FOLDER: Final = Path(__file__).parents[2] / "build" / "bench"
EXIT_FAILED: Final = 1

SELECTIONS: Final = {
    "all": ("ours", "memory", "durable", "crossing", "moderate"),
    "ours": ("ours",),
    "memory": ("memory",),
    "durable": ("durable",),
    "cluster": ("ours", "crossing", "moderate"),
}
ON_ONE_NODE: Final = (OUR_NODE, PEER_IN_MEMORY, PEER_DURABLE)


def main(argv: list[str] | None = None) -> int:
    """0: measured; 1: it could not be, or what is on record is not what was answered."""
    options = _parser().parse_args(argv)
    try:
        _run(options)
    except GameServerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _run(options: argparse.Namespace) -> None:
    load = Load(options.battles * HALF * 2, options.warmup, options.seconds)
    selected = SELECTIONS[options.only]
    allow_open_files(load.connections)
    FOLDER.mkdir(parents=True, exist_ok=True)
    wsload = build_wsload(FOLDER)
    peer = build_peer(FOLDER) if {"memory", "durable"} & set(selected) else []
    postgres, valkey = EmbeddedPostgres(FOLDER), EmbeddedValkey(FOLDER)
    with postgres as postgres_url, valkey as redis_url:
        bench = Bench(load, options.battles, wsload, peer, postgres_url, postgres.pid, redis_url, valkey.pid, FOLDER)
        runs = _rounds(bench, options.rounds, selected, options.rate)
    _write(runs, load, options)


def _rounds(bench: Bench, rounds: int, selected: Sequence[str], rate: float) -> list[Measured]:
    sides: Mapping[str, Callable[[], list[Measured]]] = {
        "ours": lambda: [bench.our_node()],
        "memory": lambda: [bench.peer_in_memory()],
        "durable": lambda: [bench.peer_durable()],
        "crossing": lambda: [measure_crossing(bench)],
        "moderate": lambda: measure_moderate(bench, rate),
    }
    runs = []
    for number in range(1, rounds + 1):
        for name in selected:
            for run in sides[name]():
                runs.append(run)
                say(f"round {number} of {rounds}: {run.side}: {run.commands_per_s:,.0f} commands/s")
    return runs


def _write(runs: Sequence[Measured], load: Load, options: argparse.Namespace) -> None:
    on_one_node = [run for run in runs if run.side in ON_ONE_NODE]
    tables = [table(on_one_node, on_one_node[0].side, load, options.battles), cluster_tables(runs, options.rate)]
    result = "\n\n".join(filter(None, tables))
    (FOLDER / "runs.jsonl").write_text("\n".join(json.dumps(asdict(run)) for run in runs) + "\n")
    (FOLDER / "result.md").write_text(result + "\n")
    print(result)
    say(f"written to {FOLDER}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, choices=range(1, 21), metavar="N", default=3, help="rounds of each side (default: 3)"
    )
    parser.add_argument(
        "--battles", type=int, choices=range(1, 1_001), metavar="N", default=100, help="of 10 players (default: 100)"
    )
    parser.add_argument("--seconds", type=float, default=6, help="measured time of a run (default: 6)")
    parser.add_argument("--warmup", type=float, default=2, help="time under load before it, in seconds (default: 2)")
    parser.add_argument("--rate", type=float, default=400, help="moderate load, in commands/s (default: 400)")
    parser.add_argument(
        "--only", choices=SELECTIONS, default="all", help="one side alone; cluster: two nodes beside one"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
