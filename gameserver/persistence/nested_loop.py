"""asyncio's event loop within Trio's, in the same thread: it goes round whenever it has something to do.

asyncio waits for its sockets in a selector of its own, which is itself waited for in Trio's, as the hub's is. When that
is ready, or a timer is due, the loop goes round: it does whatever can be done at once, and where it would wait for its
sockets the round is over. So what a driver does takes no other thread, no hop to it and back, and no quarrel about the
interpreter lock.

Invariants
- A round never runs within another one: `go_round` is for Trio's tasks, not for what asyncio calls.
- What is ready when a round begins is done in it; what that makes ready is, too, unless it takes longer than a turn.
- Time is Trio's. A timer may ring up to TICK_S late, and costs no wake-up of its own.
"""

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any, Final, TypeVarTuple

import trio

from gameserver.turns import TURN_S, in_turns, trio_clock

Ts = TypeVarTuple("Ts")

TICK_S: Final = 0.05


class _Sockets(selectors.DefaultSelector):
    """Looked at once in a round, and not waited for: where asyncio would wait, the round is ended."""

    def __init__(self, end_round: Callable[[], None], now: Callable[[], float]) -> None:
        super().__init__()
        self._end_round, self._now = end_round, now
        self._look, self._turn_ends_at = False, 0.0
        self.waits = False
        """They are waited for after all: there are no rounds any more."""
        self.all_done = True
        """Whether nothing was left that could be done at once when the last round ended."""

    def begin_round(self, *, look: bool) -> None:
        self._look, self._turn_ends_at = look, self._now() + TURN_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """asyncio asks this before each of its steps; with a timeout of 0 if it has something to do anyway."""
        if self.waits:
            return super().select(timeout)
        if self._look:
            self._look = False
            return super().select(0)
        self.all_done = timeout != 0
        if self.all_done or self._now() >= self._turn_ends_at:
            self._end_round()
        return []


class NestedLoop(asyncio.SelectorEventLoop):
    """`run` has to run. From outside of a round, nothing may be scheduled but through `call_soon_threadsafe`, or with a
    `go_round` right after."""

    def __init__(self) -> None:
        self._now = trio_clock()
        self._sockets = _Sockets(self.stop, self._now)
        self._ticks: list[int] = []
        """A heap of those at which timers ring, or would have rung if they had not been cancelled."""
        self._ticking: set[int] = set()
        """The same ones: each tick is there once, however many timers it has."""
        self._nap = trio.CancelScope()
        super().__init__(self._sockets)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_time)
            while True:
                await trio.lowlevel.wait_readable(self._sockets.fileno())
                await in_turns(self._rounds())

    def go_round(self) -> None:
        """Once, now, without a look at the sockets. What takes longer than a turn is left to `run`."""
        if not self._round(look=False):
            self.wake()

    def wake(self) -> None:
        """Have `run` go round, also if no socket has anything."""
        self.call_soon_threadsafe(_nothing)

    def finish(self, last: Coroutine[Any, Any, None]) -> None:
        """When `run` has died: go on until this has ended, and let everybody wait."""
        self._sockets.waits = True
        self.run_until_complete(last)

    def _round(self, *, look: bool) -> bool:
        """Gives whether everything is done that could be done at once."""
        self._sockets.begin_round(look=look)
        self.run_forever()  # until the sockets stop it
        return self._sockets.all_done

    def _rounds(self) -> Iterator[None]:
        while not self._round(look=True):
            yield

    # -- what asyncio schedules ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now()

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
