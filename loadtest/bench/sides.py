"""A run on one node each: of this server, and of the Node.js peer, in memory or with its commits."""

from collections.abc import Callable, Sequence
from typing import Final

from gameserver.pulse import INTERVAL_S, REMEMBERED
from loadtest.bench import servers
from loadtest.bench.battles import read_stats
from loadtest.bench.bench import Bench, say
from loadtest.bench.database import (
    fresh_database,
    largest_snapshot_bytes,
    peer_commands,
    require_equal,
    require_on_record,
)
from loadtest.bench.loads import ATTACK, PEERS, WATCH, Load, Seat, write_paths
from loadtest.bench.measure import Values, Watched, run_wsload, values_of
from loadtest.bench.servers import OurNode

OURS: Final = "this server, durable"
IN_MEMORY: Final = "Node.js `ws`, in memory"
COMMITTING: Final = "Node.js `ws`, a commit per command"

LAG_WINDOW_S: Final = INTERVAL_S * REMEMBERED
"""What a node says about its loop's lag is of so long (gameserver/pulse.py)."""

Seating = Callable[[list[OurNode]], Sequence[Seat]]
PLAYING: Final = (*WATCH, *ATTACK)


def our_run(bench: Bench, load: Load, seating: Seating, talk: Sequence[str] = PLAYING) -> dict[str, float]:
    """Whoever is seated connects and talks. Raises StartError unless what is on record equals what was answered."""
    database = bench.fresh("bench_ours")
    with bench.nodes(1, database) as nodes:
        (node,) = nodes
        write_paths(bench.paths, [(seat, seat.owner_port) for seat in seating(nodes)])
        before = read_stats(node)["commits"]
        watched = bench.watched(nodes)
        report = run_wsload(bench.wsload, load, watched, ["--paths", str(bench.paths), *talk], node.websocket_port)
        after = read_stats(node)
    require_on_record(database, report["replies_total"])
    commits, events = (after["commits"][name] - before[name] for name in ("commits", "events"))
    return {
        **values_of(report, watched),
        "commands_per_commit": events / max(1, commits),
        "loop_lag_p99_ms": after["event_loop"]["lag_p99_ms"],
        "snapshot_kb": largest_snapshot_bytes(database) / 1_024,
    }


def peer_run(bench: Bench, load: Load, battle: str, *, commits: bool) -> Values:
    """`battle` is the template of a connection's battle. Raises StartError as ours does."""
    database = fresh_database(bench.postgres_url, "bench_peer") if commits else None
    with servers.peer(bench.peer, database, bench.folder) as peer:
        say(f"  process {peer.pid}")
        watched = Watched([peer.pid], bench.postgres_pid)
        path = f"/ws?battle={{{battle}}}&player=p{{i}}"
        report = run_wsload(bench.wsload, load, watched, ["--path", path, *PEERS], peer.port)
    if database is not None:
        require_equal(report["replies_total"], peer_commands(database))
    return values_of(report, watched)
