"""Who sits at which node, where the battles are, and how much of the play crosses from one node to another.

A crew has an even number of players. Spread evenly over two nodes, half of them sit on another node than their battle,
whichever of the two it lands on; over n nodes it is at least (n - 1) / n of those that divide evenly, never below half.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from attrs import Factory, define, frozen

LEAST_SHARE: Final = 0.5


@frozen
class Seat:
    """Where one player sits: at home, unless the connection there was lost; then elsewhere, for a while."""

    home: str
    url: str

    @property
    def away(self) -> bool:
        return self.url != self.home


def homes_of(crew: int, size: int, urls: Sequence[str]) -> list[Sequence[str]]:
    """The URLs for each player of a crew, the own one first, spread evenly. Each crew starts at another node, so that
    what does not divide evenly is evened out among the crews."""
    homes = ((crew + place) % len(urls) for place in range(size))
    return [(*urls[home:], *urls[:home]) for home in homes]


@define
class Seating:
    """What was seen of it. A battle is where GET /battles/{id} said its players should connect."""

    places: dict[str, str] = Factory(dict)
    """Battle ID → WebSocket URL."""
    names: dict[str, str] = Factory(dict)
    """WebSocket URL → the name with which the node there greeted."""
    seated: Counter[str] = Factory(Counter)
    """WebSocket URL → players whose home it is."""
    battles: Counter[str] = Factory(Counter)
    """WebSocket URL → battles that were found there."""
    seats: int = 0
    """One per player and battle."""
    crossing: int = 0
    displaced: int = 0
    """Seats at the battle's own node which a lost connection had driven there."""

    def crosses(self, battle_id: str, url: str) -> bool:
        return self.places[battle_id] != url

    def count(self, battle_id: str, seats: Sequence[Seat]) -> None:
        """A battle, and where each of its players sits."""
        place = self.places[battle_id]
        self.battles[place] += 1
        self.seats += len(seats)
        self.crossing += sum(seat.url != place for seat in seats)
        self.displaced += sum(seat.url == place and seat.away for seat in seats)

    @property
    def urls(self) -> set[str]:
        """Of all nodes that had players or battles."""
        return {*self.seated, *self.battles}

    def verdict(self) -> "Spread":
        return Spread(len(self.urls), self.seats, self.crossing, self.displaced)


@frozen
class Spread:
    """How many seats were at another node than their battle."""

    nodes: int
    seats: int
    crossing: int
    displaced: int

    @property
    def share(self) -> float:
        return self.crossing / self.seats if self.seats else 0.0

    @property
    def too_small(self) -> bool:
        """Fewer than half of them, on two or more nodes. Whom a lost connection drove to the battle's own node was
        seated elsewhere: that is the node's end, and not the spreading, so those seats are not held against it."""
        return self.nodes > 1 and self.seats > 0 and self.crossing + self.displaced < self.seats * LEAST_SHARE
