"""How long rules may think: a mode that loops for ever harms its own command or battle, and not node after node.

Whatever a mode wrote is called through a `TimeLimit`. A watchdog thread looks at it five times within the limit; when
it sees one and the same call all that time, it sends the main thread a signal, whose handler raises `RulesOverran` in
the midst of the rules. Their caller gets a `RulesTooSlow`. For a call that keeps to the limit this costs two stores:
no clock is read. Time in which the whole process stood still counts as one look.

C code may keep the thread from looking at all, by holding the GIL. So each look also puts off a timer of the kernel;
should that ring, the signal's handler looks in the thread's place, as often.

Invariants:
- It raises only inside: the handler looks at the very frame that it interrupts, and raises only if the condemned call
  is still going on and lies below the frame of `TimeLimit.call`. In that frame itself, on its way in or out, it never
  does; so no exception can miss the handlers there, or come late.
- Rules that swallow everything do not get away: the handler has itself called again for the next step that they take,
  and raises at every other, by chance, until they are left.
- Calls are not nested, and none spans an await: a call holds the loop from its beginning to its end.

Failure cases:
- Interrupted are Python code, and C code that looks for signals (`re`, `time.sleep`, the arithmetic of huge numbers).
  Other C code goes on until it is done: `sum(range(10**12))`.
- Python gives signals to the main thread only: in any other, as in tests that run nodes in threads, `enforced` says
  so and changes nothing.
- A finalizer that the garbage collector happens to run inside an overrunning call is cut short like the rules.
"""

import contextlib
import signal
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from functools import partial
from random import random
from types import CodeType, FrameType
from typing import Final, TypeVar, TypeVarTuple

import structlog

log = structlog.get_logger()

Args = TypeVarTuple("Args")
T = TypeVar("T")

POKE: Final = signal.SIGURG
"""From the watchdog. Nothing else here uses it, and it is harmless to a process that has no handler for it."""

TIMER: Final = signal.SIGALRM
"""From the kernel, as long as the watchdog is kept from looking."""

LOOKS: Final = 5


class RulesOverran(BaseException):
    """Raised inside rules; no `except Exception` of theirs takes it for an error of its own."""


class RulesTooSlow(Exception):
    """A call took longer than the limit, and was given up."""


class TimeLimit:
    """Of one thread. `inside` is the number of the call that is going on, 0 if none.

    `overrun` is the call that was condemned.
    """

    __slots__ = ("_calls", "_looks", "_seen", "inside", "overrun")

    def __init__(self) -> None:
        self._calls = self._seen = self._looks = self.inside = self.overrun = 0

    def call(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """What `function` gives or raises. Raises RulesTooSlow.

        The handler knows this very function by its code; it may call no Python code but `function`.
        """
        self.inside = self._calls = self._calls + 1
        try:
            return function(*args)
        except RulesOverran as overran:
            self.inside = 0
            raise RulesTooSlow("the rules took longer than they may") from overran
        finally:
            self.inside = 0

    def look(self) -> bool:
        """Once in a fifth of the limit: whether the call that is going on has overrun."""
        inside = self.inside
        self._looks = self._looks + 1 if inside == self._seen else 0
        self._seen = inside
        if inside and self._looks >= LOOKS:
            self.overrun = inside
        return inside != 0 and inside == self.overrun


_OF_MAIN_THREAD: Final = TimeLimit()
_CALL: Final[CodeType] = TimeLimit.call.__code__


def time_limit() -> TimeLimit:
    """The one that `enforced` watches, in the main thread; in any other, one that nobody looks at."""
    return _OF_MAIN_THREAD if threading.current_thread() is threading.main_thread() else TimeLimit()


@contextlib.contextmanager
def enforced(limit_ms: int) -> Iterator[None]:
    """Rules that are called in this thread, the main thread, overrun after this time. Not to be nested."""
    if threading.current_thread() is not threading.main_thread():
        log.warning("rules.no_time_limit", reason="not in the main thread")
        yield
        return
    before = {number: signal.signal(number, _handle) for number in (POKE, TIMER)}
    watchdog = _Watchdog(_OF_MAIN_THREAD, limit_ms / 1_000 / LOOKS)
    watchdog.put_off_timer()  # now: once rules hold the GIL, the thread cannot even begin
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Watchdog(threading.Thread):
    def __init__(self, limit: TimeLimit, interval_s: float) -> None:
        super().__init__(name="rules-watchdog", daemon=True)
        self._limit, self._interval_s = limit, interval_s
        self._watched_thread = threading.get_ident()
        self._stopping = False

    def run(self) -> None:
        while not self._stopping:
            time.sleep(self._interval_s)  # half as dear as waiting for an event, and nobody is in a hurry to stop it
            self.put_off_timer()
            if self._limit.look():
                signal.pthread_kill(self._watched_thread, POKE)

    def put_off_timer(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 2 * self._interval_s, self._interval_s)

    def stop(self) -> None:
        self._stopping = True
        self.join()
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Again:
    """`-AGAIN` has the handler called once more, at the next step of whatever Python code is next.

    An operator, because Python looks for signals after each *call*: the handler would only interrupt itself.
    """

    __neg__ = staticmethod(partial(interrupt_main, POKE))


_AGAIN: Final = _Again()


def _handle(number: int, frame: FrameType | None) -> None:
    limit = _OF_MAIN_THREAD
    if number == TIMER:
        limit.look()
    if limit.inside and limit.inside == limit.overrun and _is_below_call(frame):
        # Not at each step: Python 3.12 counts a jump to the block before its target, whose handler may jump again.
        raises = random() < 0.5
        _ = -_AGAIN
        if raises:
            raise RulesOverran


def _is_below_call(frame: FrameType | None) -> bool:
    """Whether a limited call is going on around this frame, which is not that of `TimeLimit.call` itself."""
    if frame is None or frame.f_code is _CALL:
        return False
    while frame is not None and frame.f_code is not _CALL:
        frame = frame.f_back
    return frame is not None
