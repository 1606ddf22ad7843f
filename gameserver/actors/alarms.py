"""One task for the timers of all actors: a heap of times, instead of a sleeping task or cancel scope per actor."""

import heapq
import itertools
from collections.abc import Callable, Iterator

import trio

from gameserver.turns import in_turns

SLACK = 1_000
"""Replaced alarms stay in the heap until their time, but no more of them than there are alarms, and so many."""


class Alarms:
    """`set` replaces the alarm that was set under the same key; `ring` is called once, on the Trio thread."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._times: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._earlier = trio.Event()

    def set(self, key: str, at: float | None) -> None:
        """Ring at `at` of Trio's clock; None takes the alarm back."""
        if at is None:
            self._times.pop(key, None)
            return
        self._times[key] = at
        if len(self._heap) > 2 * len(self._times) + SLACK:
            self._heap = [entry for entry in self._heap if self._times.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (at, next(self._order), key))
        if self._heap[0][0] == at:
            self._earlier.set()

    async def run(self) -> None:
        while True:
            await in_turns(self._ring_due())
            self._earlier = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else float("inf")):
                await self._earlier.wait()

    def _ring_due(self) -> Iterator[None]:
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._times.get(key) == at:
                del self._times[key]
                self._ring(key)
                yield
