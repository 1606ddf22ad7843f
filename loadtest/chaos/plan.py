"""What goes wrong, where and for how long: strikes, drawn from one seed.

Each round has every fault once, in another order: a run of any length has had all of them about equally often.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from loadtest.chaos.servers import Server

FAULTS: Final = {
    "kill": "kill -9, restarted within the TTL",
    "kill-late": "kill -9, restarted later",
    "freeze": "SIGSTOP beyond the TTL, SIGCONT",
    "postgres": "PostgreSQL killed, restarted",
    "valkey": "Valkey killed, restarted empty",
    "wipe": "Valkey wiped",
    "cut": "link of a node cut",
    "silence": "link of a node fallen silent",
    "slow": "link of a node slow",
    "drain": "drain of a node, restarted",
    "roll": "rolling restart of all nodes",
    "storm": "all players cut off",
    "all": "all at once",
}
"""Name → title."""

SHORT: Final = ("kill", "freeze", "postgres", "wipe", "cut", "drain")
TOGETHER: Final = ("kill-late", "freeze", "slow", "valkey", "postgres", "storm")
"""What `all` consists of; the nodes that are hit are different ones, as far as there are enough."""

BY_LINK: Final = frozenset({"cut", "silence", "slow"})
ON_ONE_NODE: Final = frozenset({"kill", "kill-late", "freeze", "drain", *BY_LINK})

BEGIN_WITHIN_S: Final = 1.5
"""The faults of `all` begin so soon after one another."""


@frozen
class Strike:
    """`node` and `link` count for faults of a node, or of its link to that server. It is mended after `lasts_s`."""

    fault: str
    node: int
    link: Server
    lasts_s: float
    after_s: float = 0.0
    parts: tuple["Strike", ...] = ()

    @property
    def title(self) -> str:
        title = FAULTS[self.fault]
        return f"{title}: {self.link}" if self.fault in BY_LINK else title


def rounds(seed: int, faults: Sequence[str], nodes: int, ttl_s: float) -> Iterator[list[Strike]]:
    """Without end. `ttl_s`: how long a node counts as alive that shows no sign of it."""
    dice = random.Random(seed)
    while True:
        order = dice.sample(faults, len(faults))
        yield [_draw(dice, fault, dice.randrange(nodes), nodes, ttl_s) for fault in order]


def _draw(dice: random.Random, fault: str, node: int, nodes: int, ttl_s: float) -> Strike:
    link: Server = dice.choice(("postgres", "valkey"))
    least_s, most_s = _lasts_s(fault, ttl_s)
    parts = _parts(dice, node, nodes, ttl_s) if fault == "all" else ()
    return Strike(fault, node, link, dice.uniform(least_s, most_s), parts=parts)


def _parts(dice: random.Random, first: int, nodes: int, ttl_s: float) -> tuple[Strike, ...]:
    drawn = (_draw(dice, fault, (first + place) % nodes, nodes, ttl_s) for place, fault in enumerate(TOGETHER))
    return tuple(
        Strike(each.fault, each.node, each.link, each.lasts_s, after_s=dice.uniform(0, BEGIN_WITHIN_S))
        for each in drawn
    )


def _lasts_s(fault: str, ttl_s: float) -> tuple[float, float]:
    """A node needs about a second to start, so that it is back before its TTL is over if it is started at once."""
    match fault:
        case "kill":
            return 0.0, 0.3 * ttl_s
        case "kill-late" | "freeze":
            return ttl_s + 1.0, ttl_s + 3.0
        case "postgres" | "valkey":
            return 0.0, 2.0
        case "cut" | "silence":
            return 0.5, ttl_s + 3.0
        case "slow":
            return 3.0, 6.0
        case _:
            return 0.0, 0.0
