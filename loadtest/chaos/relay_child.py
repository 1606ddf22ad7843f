"""`python -m loadtest.chaos.relay_child URL…`: a relay to each of these servers; a line of input is a fault for one.

All that nodes and servers say passes here. In the process of the chaos run it would take time from the players, and its
own time would depend on them. It ends with its input.
"""

import sys
from contextlib import ExitStack
from typing import Final, Literal

from attrs import frozen

from gameserver.codec import decode, encode, structure
from loadtest.chaos.relay import Pace, Relay

SLOW: Final = Pace(delay_s=0.03, bytes_per_s=1_000_000)

Impairment = Literal["cut", "silence", "slow", "mend"]


@frozen
class Order:
    """What is to happen to the relay with this number."""

    relay: int
    what: Impairment


def main(server_urls: list[str]) -> None:
    with ExitStack() as stack:
        relays = [stack.enter_context(Relay(url)) for url in server_urls]
        sys.stdout.write(encode([relay.url for relay in relays]).decode() + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            order = structure(decode(line.encode()), Order)
            _obey(relays[order.relay], order.what)


def _obey(relay: Relay, what: Impairment) -> None:
    match what:
        case "cut":
            relay.cut()
        case "silence":
            relay.silence()
        case "slow":
            relay.slow(SLOW)
        case "mend":
            relay.mend()


if __name__ == "__main__":
    main(sys.argv[1:])
