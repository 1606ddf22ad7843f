"""An asyncio driver under Trio: calls into an event loop of its own, in the same thread.

redis-py knows only asyncio. It lives in a loop that is nested in Trio's (see nested_loop.py); a Trio task starts a
coroutine there and sleeps until that has ended.

Invariants
- A call ends exactly once: with the coroutine's value or exception, DeadlineExceeded, Cancelled, or BridgeClosed.
- Deadline and cancellation are carried across: the asyncio task is cancelled, its end is awaited, and only then does
  the call end. So nothing of it runs on afterwards. A coroutine that has finished by then gives its value, as
  everywhere in Trio.
- The first step of a coroutine, up to where it waits, is done before `call` waits: a command is on its way at once.

Failure: what ends the loop (nothing that a coroutine raises does) ends who opened the bridge.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Generic, TypeVar, TypeVarTuple

import trio

from gameserver.errors import GameServerError
from gameserver.persistence.nested_loop import NestedLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CLOSE_DEADLINE_S: Final = 5.0


class BridgeClosed(GameServerError):
    """The driver's loop has ended or is ending."""


class DeadlineExceeded(GameServerError):
    """The call did not end in time and was cancelled."""


@contextlib.asynccontextmanager
async def open_bridge() -> AsyncIterator["Bridge"]:
    with contextlib.closing(NestedLoop()) as loop:
        async with trio.open_nursery() as nursery:
            bridge = Bridge(loop)
            nursery.start_soon(bridge.run)
            try:
                yield bridge
            finally:
                with trio.CancelScope(shield=True):
                    await bridge.close()


class Bridge:
    """Use it through `open_bridge`."""

    def __init__(self, loop: NestedLoop) -> None:
        self._loop = loop
        self._calls: set[_Call[Any]] = set()
        self._closed = False
        self._life = trio.CancelScope(shield=True)
        """Who opened the bridge is cancelled before it is: what they still call, to clean up, has to end, too."""

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts, deadline_ms: int) -> T:
        """Run `function(*args)` on asyncio's loop. Raises what it raises, DeadlineExceeded, or BridgeClosed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise BridgeClosed("closed")
        with trio.CancelScope(relative_deadline=deadline_ms / 1_000):
            return await self._end_of(function, *args)
        raise DeadlineExceeded(f"no end within {deadline_ms} ms")

    async def run(self) -> None:
        try:
            with self._life:
                await self._loop.run()
        finally:
            if not self._closed:  # the loop has died, and so will all of us; nobody turns it any more
                self._closed = True
                self._loop.finish(_cancel_all())
            for call in self._calls:
                call.wake()

    async def close(self) -> None:
        """Cancel the calls in flight and await their ends; after the deadline they are left to themselves."""
        if not self._closed:
            self._closed = True
            await self._end_of(_cancel_all)
            self._life.cancel()

    async def _end_of(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        call = _Call(self._loop, function, *args)
        self._calls.add(call)
        try:
            return await call.end()
        finally:
            self._calls.discard(call)


class _Call(Generic[T]):
    """An asyncio task, and the Trio task that waits for it."""

    def __init__(self, loop: NestedLoop, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> None:
        self._loop = loop
        self._waiter: trio.lowlevel.Task | None = None
        self._raise_cancel: trio.lowlevel.RaiseCancelT | None = None
        self._task = loop.create_task(self._run(function, *args))

    async def _run(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        try:
            return await function(*args)
        finally:
            self.wake()  # in the task's last step, which is over by then: a callback would take another one

    async def end(self) -> T:
        self._loop.go_round()
        if self._task.done():
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        if self._task.done() and not self._task.cancelled():
            return self._task.result()
        if self._raise_cancel is not None:
            self._raise_cancel()
        raise BridgeClosed("closed while the call was under way")

    def wake(self) -> None:
        """Whoever waits: the task has ended, or, if the loop has, never will."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            trio.lowlevel.reschedule(waiter)

    def _abort(self, raise_cancel: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        self._task.cancel()
        self._loop.wake()
        return trio.lowlevel.Abort.FAILED


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=CLOSE_DEADLINE_S)
