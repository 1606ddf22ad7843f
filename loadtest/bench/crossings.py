"""Two nodes, and who is connected to the wrong one: a command crosses if its connection is on another node than its
battle. That it did is checked against what the nodes asked of each other."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from gameserver.errors import StartError
from loadtest.bench.battles import read_stats
from loadtest.bench.bench import Bench
from loadtest.bench.loads import Seat
from loadtest.bench.servers import OurNode

NODES: Final = 2


@contextlib.contextmanager
def two_nodes(bench: Bench) -> Iterator[tuple[str, list[OurNode]]]:
    """And their database."""
    database = bench.fresh("bench_cluster")
    with bench.nodes(NODES, database) as nodes:
        yield database, nodes


def another_port(seat: Seat, nodes: Sequence[OurNode]) -> int:
    return next(node.websocket_port for node in nodes if node.websocket_port != seat.owner_port)


def crossed(nodes: Sequence[OurNode]) -> int:
    """What the nodes have asked of each other so far."""
    return sum(read_stats(node)["cluster"]["requests"]["asked"] for node in nodes)


def require_crossed(asked: int, least: int) -> None:
    if asked < least:
        raise StartError(f"only {asked} of {least} commands crossed")
