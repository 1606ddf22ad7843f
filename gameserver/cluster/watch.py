"""One watch, and a pass over those of a battle.

A pass is a walk in turns (see turns.py). A battle has one at a time: what comes while it pauses is passed on behind it,
and who begins to watch then comes last in it. Watches that end or are replaced on the way are left out. Whoever has
brought events walks until all are passed on, so that a cancelled walk loses none of somebody else's.
"""

from collections import deque
from collections.abc import Iterator

from attrs import Factory, define

from gameserver.cluster.items import Events
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.session import Session
from gameserver.turns import at_once


@define(eq=False)
class Watch:
    """`position` is the seq of the last event that was queued for it."""

    session: Session
    battle_id: str
    position: int
    behind: int = 0
    """While it is held: up to here the battle has come."""
    held: bool = False
    filling: bool = False
    """What it is behind by is on its way; until then it is held."""
    over: bool = False
    """The battle has been finished, as it knows or is about to."""
    current: bool = True

    @property
    def reach(self) -> int:
        """What it has seen, or is about to."""
        return max(self.position, self.behind)

    def end(self) -> None:
        """It was replaced or given up; also a pass under way leaves it out."""
        self.current, self.held = False, True

    def hang_up(self) -> None:
        """It has missed events for good: the client comes back, and asks for them."""
        if self.current:
            self.session.close(CloseCode.MISSED_EVENTS)


@define(eq=False)
class Pass:
    """`watches` get the present ones of the `events`, and may become more."""

    events: deque[Events] = Factory(deque)
    watches: list[Watch] = Factory(list)
    walk: Iterator[None] = Factory(lambda: iter(()))
    _walkers: int = 0

    def go_along(self) -> Iterator[None]:
        """Not `yield from`: that would end the walk for the others, too, when ours is cancelled."""
        self._walkers += 1
        try:
            for _ in self.walk:
                yield
        finally:
            self._walkers -= 1
            if not self._walkers:  # nobody else goes on with what is left
                at_once(self.walk)
