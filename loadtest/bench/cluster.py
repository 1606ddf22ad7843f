"""What a cluster costs: two nodes on which every command crosses, and local beside crossing commands at moderate load.

A command crosses if its connection is on another node than its battle. That it did is checked against what the nodes
asked of each other.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from attrs import evolve

from gameserver.errors import StartError
from loadtest.bench import servers
from loadtest.bench.battles import Seat, prepare, read_stats, write_paths
from loadtest.bench.measure import OURS, PORTS, Load, Measured, run_wsload
from loadtest.bench.sides import HALF, Bench, require_on_record, say

CROSSING: Final = "two nodes, every command crossing"
MODERATE_LOCAL: Final = "two nodes, moderate load, local"
MODERATE_CROSSING: Final = "two nodes, moderate load, crossing"

NODES: Final = 2
MODERATE_BATTLES: Final = 20


def measure_crossing(bench: Bench) -> Measured:
    """As many connections and battles as on one node, in a closed loop; every connection is on the wrong node."""
    database = bench.fresh("bench_cluster")
    paths = bench.folder / "paths.tsv"
    with servers.our_nodes(NODES, database, bench.redis_url, bench.folder) as nodes:
        seats = prepare(nodes, bench.battles, HALF)
        write_paths(paths, [(seat, _another_port(seat, nodes)) for seat in seats])
        say(f"measuring processes {', '.join(str(node.pid) for node in nodes)}")
        before = _crossed(nodes)
        options = ["--paths", str(paths), *PORTS, *OURS]
        measured = run_wsload(
            bench.wsload, CROSSING, bench.load, bench.watched(nodes), options, nodes[0].websocket_port
        )
        crossed = _crossed(nodes) - before
    asked = measured.replies_total + measured.connections  # each has asked to watch its battle, too
    if crossed < asked:
        raise StartError(f"{CROSSING}: only {crossed} of {asked} commands crossed")
    require_on_record(CROSSING, database, measured.replies_total)
    return measured


def measure_moderate(bench: Bench, rate: float) -> list[Measured]:
    """One run: half of each battle's connections are on its node, half on the other, each half with its own
    generator. Together they send `rate` commands per second, on a fixed schedule."""
    database = bench.fresh("bench_cluster")
    with servers.our_nodes(NODES, database, bench.redis_url, bench.folder) as nodes:
        seats = prepare(nodes, MODERATE_BATTLES, HALF)
        say(f"measuring processes {', '.join(str(node.pid) for node in nodes)}")
        places = list(enumerate(seats))  # a battle's seats stand MODERATE_BATTLES apart
        near = [(seat, seat.owner_port) for at, seat in places if at // MODERATE_BATTLES % 2 == 0]
        far = [(seat, _another_port(seat, nodes)) for at, seat in places if at // MODERATE_BATTLES % 2]
        load = evolve(bench.load, connections=len(near), rate=rate / 2)
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(_measure_half, bench, load, nodes, side, half)
                for side, half in ((MODERATE_LOCAL, near), (MODERATE_CROSSING, far))
            ]
            measured = [run.result() for run in runs]
    require_on_record("moderate load", database, sum(run.replies_total for run in measured))
    return measured


def _measure_half(
    bench: Bench, load: Load, nodes: list[servers.OurNode], side: str, half: Sequence[tuple[Seat, int]]
) -> Measured:
    paths = bench.folder / f"paths {side}.tsv"
    write_paths(paths, half)
    options = ["--paths", str(paths), *PORTS, *OURS]
    return run_wsload(bench.wsload, side, load, bench.watched(nodes), options, nodes[0].websocket_port)


def _another_port(seat: Seat, nodes: Sequence[servers.OurNode]) -> int:
    return next(node.websocket_port for node in nodes if node.websocket_port != seat.owner_port)


def _crossed(nodes: Sequence[servers.OurNode]) -> int:
    """What the nodes have asked of each other so far."""
    return sum(read_stats(node)["cluster"]["requests"]["asked"] for node in nodes)
