"""asyncio's event loop within Trio's, in the same thread: it goes round whenever it has something to do.

asyncio waits for its sockets in a selector of its own, which is itself waited for in Trio's, as the hub's is. When that
is ready, or a timer is due, the loop goes round until nothing is left that could be done at once; it never waits. So
what a driver does takes no other thread, no hop to it and back, and no quarrel about the interpreter lock.

Invariants
- A round never runs within another one: `go_round` is for Trio's tasks, not for what asyncio calls.
- Time is Trio's. A timer may ring up to TICK_S late, and costs no wake-up of its own.
"""

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Final, TypeVarTuple

import trio

from gameserver.turns import in_turns, trio_clock

Ts = TypeVarTuple("Ts")

TICK_S: Final = 0.05


class NestedLoop(asyncio.SelectorEventLoop):
    """`run` has to run. From outside of a round, nothing may be scheduled but through `call_soon_threadsafe`, or with a
    `go_round` right after."""

    def __init__(self) -> None:
        selector = selectors.DefaultSelector()
        self._descriptor = selector.fileno()
        self._now = trio_clock()
        self._unfinished = False
        """Something was scheduled that has not run yet."""
        self._ticks: list[int] = []
        """A heap of those at which timers ring, or would have rung if they had not been cancelled."""
        self._ticking: set[int] = set()
        """The same ones: each tick is there once, however many timers it has."""
        self._nap = trio.CancelScope()
        super().__init__(selector)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_time)
            while True:
                await trio.lowlevel.wait_readable(self._descriptor)
                await in_turns(self._rounds())

    def go_round(self) -> None:
        """Once, now: whatever is ready. What that schedules is left to `run`."""
        self._round()
        if self._unfinished:
            self.wake()

    def wake(self) -> None:
        """Have `run` go round, also if no socket has anything."""
        self.call_soon_threadsafe(_nothing)

    def _round(self) -> None:
        self._unfinished = False
        self.stop()  # asyncio's way to go round once and wait for nothing: it stops at the end of the round
        self.run_forever()

    def _rounds(self) -> Iterator[None]:
        self._unfinished = True
        while self._unfinished:
            self._round()
            yield

    # -- what asyncio schedules ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._unfinished = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        tick = math.floor(when / TICK_S) + 1
        if tick not in self._ticking:
            self._ticking.add(tick)
            heapq.heappush(self._ticks, tick)
            self._nap.deadline = min(self._nap.deadline, tick * TICK_S)
        return super().call_at(when, callback, *args, context=context)

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._ticks[0] * TICK_S if self._ticks else math.inf) as self._nap:
                await trio.sleep_forever()
            while self._ticks and self._ticks[0] * TICK_S <= self._now():
                self._ticking.remove(heapq.heappop(self._ticks))
            await in_turns(self._rounds())


def _nothing() -> None:
    """For who only wants to wake the loop up."""
