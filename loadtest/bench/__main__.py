"""`make bench`: one node beside a Node.js peer that does the same work, in memory and with a commit per command.

All sides in one sitting, one at a time, in turns; one PostgreSQL for all, with the same settings. A run counts only if
what is on record afterwards equals what was answered, to the command.

Where the node's time goes: pip install py-spy, then, while `--only ours --rounds 1 --seconds 30` says "measuring",
py-spy record -d 10 -o profile.svg -p PID (or py-spy top -p PID) with the process number that is shown.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, field, frozen

from gameserver.errors import GameServerError, StartError
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.migrations import migrate
from loadtest.bench import servers
from loadtest.bench.battles import prepare, read_stats
from loadtest.bench.database import fresh_database, on_record, peer_commands
from loadtest.bench.measure import OURS, PEERS, Load, Measured, run_wsload
from loadtest.bench.table import table
from loadtest.bench.tools import build_peer, build_wsload

FOLDER: Final = Path(__file__).parents[2] / "build" / "bench"
HALF: Final = 5
EXIT_FAILED: Final = 1
FILES_BESIDES: Final = 200
OUR_NODE: Final = "this server, durable"
PEER_IN_MEMORY: Final = "Node.js `ws`, in memory"
PEER_DURABLE: Final = "Node.js `ws`, a commit per command"


@frozen
class Bench:
    """Everything that a run needs."""

    load: Load
    battles: int
    wsload: Path
    peer: list[str]
    postgres_url: str
    postgres_pid: int
    redis_url: str
    folder: Path = field(default=FOLDER)

    def our_node(self) -> Measured:
        database = fresh_database(self.postgres_url, "bench_ours")
        migrate(database)
        paths = self.folder / "paths.tsv"
        with servers.our_node(database, self.redis_url, self.folder) as node:
            prepare(node, self.battles, HALF, paths)
            _say(f"measuring process {node.pid}")
            before = read_stats(node)["commits"]
            options = ["--paths", str(paths), *OURS]
            measured = run_wsload(self.wsload, OUR_NODE, self.load, self._pids(node.pid), options, node.websocket_port)
            after = read_stats(node)["commits"]
        record = on_record(database)
        require_equal(OUR_NODE, measured, record.attacks, record.outcomes, record.distinct)
        commits = max(1, after["commits"] - before["commits"])
        return evolve(measured, commands_per_commit=(after["events"] - before["events"]) / commits)

    def peer_in_memory(self) -> Measured:
        return self._peer(PEER_IN_MEMORY, None)

    def peer_durable(self) -> Measured:
        database = fresh_database(self.postgres_url, "bench_peer")
        measured = self._peer(PEER_DURABLE, database)
        require_equal(PEER_DURABLE, measured, peer_commands(database))
        return measured

    def _peer(self, side: str, database: str | None) -> Measured:
        path = f"/ws?battle={{i%{self.battles}}}&player=p{{i}}"
        with servers.peer(self.peer, database, self.folder) as peer:
            _say(f"measuring process {peer.pid}")
            return run_wsload(self.wsload, side, self.load, self._pids(peer.pid), ["--path", path, *PEERS], peer.port)

    def _pids(self, server: int) -> list[str]:
        return [str(server), f"{self.postgres_pid}+"]


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
    _allow_open_files(load.connections)
    FOLDER.mkdir(parents=True, exist_ok=True)
    wsload, peer = build_wsload(FOLDER), build_peer(FOLDER)
    postgres, valkey = EmbeddedPostgres(FOLDER), EmbeddedValkey(FOLDER)
    with postgres as postgres_url, valkey as redis_url:
        bench = Bench(load, options.battles, wsload, peer, postgres_url, postgres.pid, redis_url)
        runs = _rounds(bench, options.rounds, options.only)
    result = table(runs, runs[0].side, load, options.battles)
    lines = [json.dumps(asdict(run)) for run in runs]
    (FOLDER / "runs.jsonl").write_text("\n".join(lines) + "\n")
    (FOLDER / "result.md").write_text(result + "\n")
    print(result)
    _say(f"written to {FOLDER}")


def _rounds(bench: Bench, rounds: int, only: str | None) -> list[Measured]:
    sides: Mapping[str, Callable[[], Measured]] = {
        "ours": bench.our_node,
        "memory": bench.peer_in_memory,
        "durable": bench.peer_durable,
    }
    runs = []
    for number in range(1, rounds + 1):
        for name, measure in sides.items():
            if only in (None, name):
                run = measure()
                runs.append(run)
                _say(f"round {number} of {rounds}: {run.side}: {run.commands_per_s:,.0f} commands/s")
    return runs


def require_equal(side: str, measured: Measured, *on_record: int) -> None:
    if any(count != measured.replies_total for count in on_record):
        raise StartError(f"{side}: {measured.replies_total} replies, but on record {', '.join(map(str, on_record))}")


def _allow_open_files(connections: int) -> None:
    needed = connections + FILES_BESIDES
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < needed:
        raise StartError(f"{connections} connections need {needed} open files, and the limit is {most} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if most == resource.RLIM_INFINITY else most, most))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, choices=range(1, 21), default=3, help="rounds of each side (default: 3)")
    parser.add_argument(
        "--battles", type=int, choices=range(1, 1_001), default=100, help="of 10 players (default: 100)"
    )
    parser.add_argument("--seconds", type=float, default=6, help="measured time of a run (default: 6)")
    parser.add_argument("--warmup", type=float, default=2, help="time under load before it, in seconds (default: 2)")
    parser.add_argument("--only", choices=("ours", "memory", "durable"), help="measure one side alone")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
