"""asyncio drivers beside Trio: one uvloop thread, and calls across.

asyncpg and redis-py know only asyncio. They live on one thread with a loop of its own; a Trio task hands it a
coroutine function and sleeps until that has ended.

Invariants
- A call ends exactly once: with the coroutine's value or exception, DeadlineExceeded, Cancelled, or BridgeClosed.
- The deadline is kept on the asyncio side, where the driver is: it can clean up, and a busy Trio loop cannot delay it.
- Cancellation is carried across: the asyncio task is cancelled, its end is awaited, and only then Cancelled is raised.
  So nothing of a call runs on after it. A coroutine that has finished by then gives its value, as everywhere in Trio.
- `calls` and the end of a call belong to the Trio thread, the asyncio task to the other; they meet only through
  `call_soon_threadsafe` and `run_sync_soon`, both first in, first out.

Failure: when the thread ends, for whatever reason, all who wait are woken with BridgeClosed, and so are later callers.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Generic, TypeVar, TypeVarTuple

import outcome
import trio
import uvloop

from gameserver.errors import GameServerError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A thread that waits for the interpreter lock asks for it after this time. With Python's 5 ms, a Trio loop that is busy
# in slices of a fraction of a millisecond gives the lock up and has it back before the other thread gets to it.
SWITCH_INTERVAL_S: Final = 0.000_1
CLOSE_DEADLINE_S: Final = 5.0


class BridgeClosed(GameServerError):
    """The thread of the asyncio drivers has ended or is ending."""


class DeadlineExceeded(GameServerError):
    """The call did not end in time and was cancelled."""


@contextlib.asynccontextmanager
async def open_bridge() -> AsyncIterator["Bridge"]:
    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    bridge = Bridge()
    try:
        await bridge.start()
        yield bridge
    finally:
        with trio.CancelScope(shield=True):
            await bridge.close()
        sys.setswitchinterval(switch_interval_s)


class Bridge:
    """Use it through `open_bridge`."""

    def __init__(self) -> None:
        self.calls: set[_Call[Any]] = set()
        self.serving = False  # on the asyncio thread: calls are still started
        self._open = False  # on the Trio thread: calls are still taken
        self._started, self._ended = trio.Event(), trio.Event()
        self.token = trio.lowlevel.current_trio_token()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._died_of: BaseException | None = None

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts, deadline_ms: int) -> T:
        """Run `function(*args)` on the asyncio thread. Raises what it raises, DeadlineExceeded, or BridgeClosed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._open:
            raise self._closed()
        call: _Call[T] = _Call(self)
        self.calls.add(call)
        return await call.run(lambda: function(*args), deadline_ms / 1_000)

    async def start(self) -> None:
        threading.Thread(target=self._run, name="asyncio drivers", daemon=True).start()
        with trio.CancelScope(shield=True):
            await self._started.wait()

    async def close(self) -> None:
        """End the thread. Calls in flight are cancelled; after the deadline the thread is left to itself."""
        self._open = False
        self.post(lambda: self._stop.set() if self._stop else None)
        with trio.move_on_after(CLOSE_DEADLINE_S):
            await self._ended.wait()
        self._fail_all()

    def _run(self) -> None:
        """The thread's life. The runner cancels what is still in flight when `_serve` has returned."""
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                try:
                    runner.run(self._serve())
                finally:
                    self.serving = False
        except BaseException as error:  # noqa: BLE001  # nobody is above us here; the callers are told
            self._died_of = error
        finally:
            with contextlib.suppress(trio.RunFinishedError):
                self.token.run_sync_soon(self._thread_ended)

    async def _serve(self) -> None:
        self.loop, self._stop, self.serving = asyncio.get_running_loop(), asyncio.Event(), True
        self.token.run_sync_soon(self._thread_started)
        await self._stop.wait()

    def _thread_started(self) -> None:
        self._open = True
        self._started.set()

    def _thread_ended(self) -> None:
        self._open = False
        self._fail_all()
        self._started.set()
        self._ended.set()

    def _fail_all(self) -> None:
        for call in tuple(self.calls):
            call.wake(outcome.Error(self._closed()))

    def _closed(self) -> BridgeClosed:
        closed = BridgeClosed(f"the thread died of {self._died_of!r}" if self._died_of else "closed")
        closed.__cause__ = self._died_of
        return closed

    def post(self, function: Callable[[], object]) -> None:
        """Run `function` on the asyncio thread."""
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: `_thread_ended` does what is left to do
                self.loop.call_soon_threadsafe(function)


class _Call(Generic[T]):
    """One coroutine over there and the Trio task that waits for it here."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._waiter: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._task: asyncio.Task[T] | None = None
        self._raise_cancel: trio.lowlevel.RaiseCancelT | None = None

    # on the Trio thread

    async def run(self, start: Callable[[], Awaitable[T]], deadline_s: float) -> T:
        self._bridge.post(lambda: self._start(start, deadline_s))
        result: T = await trio.lowlevel.wait_task_rescheduled(self._abort)
        return result

    def wake(self, result: outcome.Outcome[T]) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._bridge.calls.discard(self)
            trio.lowlevel.reschedule(waiter, result)

    def _abort(self, raise_cancel: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        self._bridge.post(self._cancel)
        return trio.lowlevel.Abort.FAILED

    def _wake_cancelled(self) -> None:
        self.wake(outcome.capture(self._raise_cancel) if self._raise_cancel else outcome.Error(BridgeClosed()))

    # on the asyncio thread

    def _start(self, start: Callable[[], Awaitable[T]], deadline_s: float) -> None:
        if self._bridge.serving:  # else the end of the thread, which is near, wakes the waiter
            self._task = asyncio.create_task(_bounded(start, deadline_s))
            self._task.add_done_callback(self._done)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: "asyncio.Task[T]") -> None:
        with contextlib.suppress(trio.RunFinishedError):
            if task.cancelled():
                self._bridge.token.run_sync_soon(self._wake_cancelled)
            else:
                error = task.exception()
                self._bridge.token.run_sync_soon(
                    self.wake, outcome.Error(error) if error else outcome.Value(task.result())
                )


async def _bounded(start: Callable[[], Awaitable[T]], deadline_s: float) -> T:
    try:
        async with asyncio.timeout(deadline_s) as scope:
            return await start()
    except TimeoutError as error:
        if scope.expired():
            raise DeadlineExceeded(f"no end within {deadline_s:g} s") from error
        raise
