"""The sides that are compared on one node each: this server, and the Node.js peer in memory and with its commits."""

import sys
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from gameserver.errors import StartError
from gameserver.persistence.migrations import migrate
from loadtest.bench import servers
from loadtest.bench.battles import prepare, read_stats, write_paths
from loadtest.bench.database import fresh_database, on_record, peer_commands
from loadtest.bench.measure import OURS, PEERS, Load, Measured, Watched, run_wsload

HALF: Final = 5
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
    valkey_pid: int
    folder: Path

    def our_node(self) -> Measured:
        database = self.fresh("bench_ours")
        paths = self.folder / "paths.tsv"
        with servers.our_nodes(1, database, self.redis_url, self.folder) as nodes:
            write_paths(paths, [(seat, seat.owner_port) for seat in prepare(nodes, self.battles, HALF)])
            say(f"measuring process {nodes[0].pid}")
            before = read_stats(nodes[0])["commits"]
            options = ["--paths", str(paths), *OURS]
            port, watched = nodes[0].websocket_port, self.watched(nodes)
            measured = run_wsload(self.wsload, OUR_NODE, self.load, watched, options, port)
            after = read_stats(nodes[0])["commits"]
        require_on_record(OUR_NODE, database, measured.replies_total)
        commits = max(1, after["commits"] - before["commits"])
        return evolve(measured, commands_per_commit=(after["events"] - before["events"]) / commits)

    def peer_in_memory(self) -> Measured:
        return self._peer(PEER_IN_MEMORY, None)

    def peer_durable(self) -> Measured:
        database = fresh_database(self.postgres_url, "bench_peer")
        measured = self._peer(PEER_DURABLE, database)
        require_equal(PEER_DURABLE, measured.replies_total, peer_commands(database))
        return measured

    def _peer(self, side: str, database: str | None) -> Measured:
        path = f"/ws?battle={{i%{self.battles}}}&player=p{{i}}"
        with servers.peer(self.peer, database, self.folder) as peer:
            say(f"measuring process {peer.pid}")
            watched = Watched([peer.pid], self.postgres_pid)
            return run_wsload(self.wsload, side, self.load, watched, ["--path", path, *PEERS], peer.port)

    def fresh(self, name: str) -> str:
        """An empty database for our server."""
        database = fresh_database(self.postgres_url, name)
        migrate(database)
        return database

    def watched(self, nodes: list[servers.OurNode]) -> Watched:
        return Watched([node.pid for node in nodes], self.postgres_pid, self.valkey_pid)


def require_on_record(side: str, database: str, replies: int) -> None:
    record = on_record(database)
    require_equal(side, replies, record.attacks, record.outcomes, record.distinct)


def require_equal(side: str, replies: int, *on_record: int) -> None:
    if any(count != replies for count in on_record):
        raise StartError(f"{side}: {replies} replies, but on record {', '.join(map(str, on_record))}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
