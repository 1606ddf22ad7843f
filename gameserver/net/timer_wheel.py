"""Deadlines of many things that all move all the time: one look per tick, and nothing to do when one of them moves on.

A thing stands in the slot of the tick by which somebody has to look at it. Whoever looks puts it into a later one if
nothing was due after all; so what happens in between costs nothing. It may be looked at up to one tick late.
"""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    slot: int
    """The wheel's own."""


T = TypeVar("T", bound=Timed)

NOWHERE = -1


class TimerWheel(Generic[T]):
    """Times are seconds, of whatever clock."""

    def __init__(self, tick_s: float, now: float) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, set[T]] = {}
        self._passed = self._tick_of(now)

    def put(self, thing: T, at: float) -> None:
        """Have it come up at `at`, instead of when it was to come up until now."""
        slot = max(self._tick_of(at) + 1, self._passed + 1)
        if slot != thing.slot:
            self.remove(thing)
            thing.slot = slot
            self._slots.setdefault(slot, set()).add(thing)

    def remove(self, thing: T) -> None:
        if thing.slot != NOWHERE:
            slot = self._slots.get(thing.slot)
            if slot is not None:
                slot.discard(thing)
            thing.slot = NOWHERE

    def due(self, now: float) -> Iterator[T]:
        """All that come up by now, each taken off the wheel."""
        while self._passed < self._tick_of(now):
            self._passed += 1
            slot = self._slots.get(self._passed, set())
            while slot:
                thing = slot.pop()
                thing.slot = NOWHERE
                yield thing
            self._slots.pop(self._passed, None)

    def _tick_of(self, at: float) -> int:
        return int(at // self._tick_s)
