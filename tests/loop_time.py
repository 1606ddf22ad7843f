"""Work that takes time on the virtual clock, and what it costs the others: the longest time between two turns."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps

import trio
from attrs import Factory, define


def takes(monkeypatch, owner, name: str, seconds: float) -> None:
    """Each call of this function or method takes so long, and nobody else has a turn meanwhile."""
    function = getattr(owner, name)

    @wraps(function)
    def working(*args, **options):
        trio.lowlevel.current_clock().jump(seconds)
        return function(*args, **options)

    monkeypatch.setattr(owner, name, working)


@define(eq=False)
class LongestSlice(trio.abc.Instrument):
    """`seconds` is the longest time that one task had the loop for itself; `turns` how often any task had it."""

    seconds: float = 0.0
    turns: int = 0
    _began_at: float = Factory(trio.current_time)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began_at = trio.current_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.turns += 1
        self.seconds = max(self.seconds, trio.current_time() - self._began_at)


@contextmanager
def longest_slice() -> Iterator[LongestSlice]:
    """Measured as long as it is open."""
    measured = LongestSlice()
    trio.lowlevel.add_instrument(measured)
    try:
        yield measured
    finally:
        trio.lowlevel.remove_instrument(measured)
