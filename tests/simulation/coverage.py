"""Which faults and which ways of recovery a run has taken: a way that nobody takes proves nothing."""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

from gameserver.actors.messages import Wake
from tests.cluster.cluster_node import ClusterNode

Coverage = Counter[str]

FAULTS = (
    *("crash", "crash_of_all", "pause", "zombie_woke", "stop", "drain", "came_back_within_its_lease", "clock_jumped"),
    *("packet_lost", "packet_late", "packet_overtook", "packet_twice", "partition", "partition_one_way"),
    *("append_fails", "append_answer_lost", "append_lost", "append_landed_late", "append_was_fenced"),
    *("storage_away", "storage_slow", "bus_away", "directory_away", "directory_wiped"),
    *("hang_up", "slow_clients"),
)

RECOVERIES = (
    # who owns
    "taken_over",  # an actor of a dead node comes to life on another one
    "taken_back",  # by a new process of the same name
    "woken",  # without waiting for a command
    "handed_over",
    "passed_on",  # a message to an actor that belongs elsewhere
    "lease_lost",  # and all actors dropped
    "passivated",
    "restored_from_snapshot",
    # what was committed
    "overtaken",  # a commit under an older epoch
    "outcome_unknown",
    "outcome_read_back",  # what had landed in spite of that
    "storage_unavailable",
    "late_timer",
    # commands
    "answered_again",  # from the memory of what has run
    "request_expired",
    "request_failed",  # since its node is dead, or the bus away
    "refused: actor_restarting",
    "refused: deadline_exceeded",
    "refused: outcome_unknown",
    "refused: owner_unreachable",
    "refused: storage_unavailable",
    # streams
    "resumed",
    "resumed_from_state",  # since what was missed is too much
    "filled_in",  # what a watch has missed, without being asked
    "collapsed",  # to a state that is pushed, since what a slow client has missed is too much
    "closed: SLOW_CONSUMER",
    "closed: GOING_AWAY",
    "migrated",
)


def not_taken(coverage: Coverage) -> list[str]:
    return [way for way in (*FAULTS, *RECOVERIES) if not coverage[way]]


def watch_node(node: ClusterNode, coverage: Coverage) -> None:
    """Before it starts: what its counters do not tell."""
    router, watches = node.core.router, node.core.watches
    setattr(router, "pass_on", _counted(router.pass_on, coverage, "passed_on"))  # noqa: B010 - not to be typed
    watches.on_behind(_counted(watches._fill, coverage, "filled_in"))
    node.keeper.on_lost(lambda: coverage.update(["lease_lost"]))


def _counted(call: Callable[..., Any], coverage: Coverage, way: str) -> Callable[..., Any]:
    @wraps(call)
    def counted(*args: Any) -> Any:
        coverage[way] += 1
        return call(*args)

    return counted


def count_node(node: ClusterNode, coverage: Coverage) -> None:
    """Once it has gone, by whatever way."""
    catalog, commits = node.core.catalog.counters, node.core.committer.counters
    requests = node.cluster.requests.counters
    coverage.update(
        handed_over=catalog.handed_over,
        passivated=catalog.passivated,
        overtaken=commits.overtaken,
        outcome_unknown=commits.unknown,
        storage_unavailable=commits.unavailable,
        request_expired=requests.expired,
        request_failed=requests.failed,
    )


def is_woken(node: ClusterNode, actor_id: str) -> bool:
    """Whether the actor that comes to life there has nothing to do but what is its own."""
    cell = node.core.catalog._cells[actor_id]
    return all(isinstance(message.command, Wake) for message in cell.mailbox.messages)
