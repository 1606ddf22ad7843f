"""A process that stands still: SIGSTOP, a machine that swaps, a long pause of the garbage collector.

The tasks of a frozen node take no step, whatever happens to them, while the time and the other nodes go on. When it
thaws each goes on with what had woken it, as if nothing had been: its deadlines have passed, its lease may have run
out, and what it was about to do it does now.
"""

from collections.abc import Generator
from types import coroutine
from typing import Any

import trio
import trio.lowlevel
from attrs import Factory, define


@define(eq=False)
class Frost:
    """Of one node. `held` are its tasks that would have gone on, in the order in which they were to."""

    frozen: bool = False
    held: list[trio.lowlevel.Task] = Factory(list)

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        held, self.held = self.held, []
        for task in held:
            trio.lowlevel.reschedule(task)


class FrostWatch(trio.abc.Instrument):
    """Has every task that descends from a node's own wait while the node is frozen."""

    def __init__(self) -> None:
        self._frosts: dict[trio.lowlevel.Task, Frost] = {}

    def cover(self, frost: Frost) -> None:
        """The tasks that the present one will start, and those that they will."""
        self._frosts[trio.lowlevel.current_task()] = frost

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        parent = task.parent_nursery and task.parent_nursery.parent_task
        frost = self._frosts.get(parent) if parent is not None else None
        if frost is not None:
            self._frosts[task] = frost
            task.coro = _step_by_step(task.coro, frost)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._frosts.pop(task, None)


@coroutine
def _step_by_step(inner: Any, frost: Frost) -> Generator[Any, Any, Any]:
    """`inner`, with a wait before each step that falls into the frost. What Trio sends in is handed through."""
    sent = None
    while True:
        if frost.frozen:
            frost.held.append(trio.lowlevel.current_task())
            yield from trio.lowlevel.wait_task_rescheduled(_not_now).__await__()  # noqa: ASYNC105 - it is, in effect
        try:
            trap = inner.send(sent)
        except StopIteration as stop:
            return stop.value
        sent = yield trap


def _not_now(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
