"""Ten thousand connections that say nothing: how fast they come, what each costs in memory, what all cost in CPU."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from attrs import evolve

from gameserver.config import WebSocketSettings
from loadtest.bench import servers
from loadtest.bench.bench import Bench, say
from loadtest.bench.loads import GREETED, Load, Seat, write_paths
from loadtest.bench.measure import Values, Watched, run_wsload
from loadtest.bench.scenario import Column, Figure, Scenario, Side, value_of
from loadtest.bench.sides import IN_MEMORY, OURS

CONNECTIONS: Final = 10_000
PING_INTERVAL_S: Final = WebSocketSettings().ping_interval_ms / 1_000
"""The window is so long: each connection is pinged once in it."""


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    load = evolve(pace, connections=CONNECTIONS, warmup_s=0.0, seconds=PING_INTERVAL_S)
    return Side(OURS, partial(_ours, bench, load)), Side(IN_MEMORY, partial(_peer, bench, load))


def _ours(bench: Bench, load: Load) -> Values:
    """A fresh node; each player has been greeted, so that the session is counted."""
    with bench.nodes(1, bench.fresh("bench_ours")) as nodes:
        (node,) = nodes
        seats = (Seat(account.token, "-", node.websocket_port) for account in bench.accounts(load.connections))
        write_paths(bench.paths, ((seat, seat.owner_port) for seat in seats))
        watched = Watched([node.pid])
        return _values(
            run_wsload(bench.wsload, load, watched, ["--paths", str(bench.paths), *GREETED], node.websocket_port)
        )


def _peer(bench: Bench, load: Load) -> Values:
    with servers.peer(bench.peer, None, bench.folder) as peer:
        say(f"  process {peer.pid}")
        path = ["--path", "/ws?battle={i%1000}&player=p{i}"]
        return _values(run_wsload(bench.wsload, load, Watched([peer.pid]), path, peer.port))


def _values(report: dict[str, Any]) -> Values:
    return {
        "kb_per_connection": report["rss_kb_per_conn"],
        "connects_per_s": report["conns"] / report["connect_s"],
        "idle_percent": report["server_cores"] * 100,
    }


IDLE: Final = Scenario(
    name="idle",
    title="10,000 idle connections",
    work=(
        "They come as fast as they are taken, 128 handshakes at a time, and then only answer pings. Memory is that of "
        "the process after connecting less before; CPU is measured for 20 s, as long as it takes to ping everybody "
        "once."
    ),
    sides=_sides,
    columns=(
        Column("KB per connection", "kb_per_connection", 2, spread=True),
        Column("connects/s", "connects_per_s"),
        Column("CPU while idle, % of a core", "idle_percent", 2),
    ),
    figures=(
        Figure("memory per connection", value_of("kb_per_connection", OURS), most=2, unit=" KB"),
        Figure("connects per second", value_of("connects_per_s", OURS), least=2_000, unit="/s"),
        Figure("CPU while idle", value_of("idle_percent", OURS), most=3, unit=" %"),
    ),
    connections=CONNECTIONS,
    peer=True,
)
