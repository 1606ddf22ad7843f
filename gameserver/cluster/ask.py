"""Waiting for an actor's answer, for callers that have a task of their own (HTTP handlers, tests, workflows)."""

from collections.abc import Callable

import trio

from gameserver.actors.ports import Accepted, Answer, Reply, Shown
from gameserver.errors import Refused


class _Slot:
    __slots__ = ("answer", "task")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.task: trio.lowlevel.Task | None = None

    def __call__(self, answer: Answer) -> None:
        self.answer = answer
        if self.task is not None:
            task, self.task = self.task, None
            trio.lowlevel.reschedule(task)

    def abandon(self, _: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


async def ask(send: Callable[[Reply], None], deadline_ms: int) -> Accepted | Shown:
    """Call `send` with a reply to fill, and wait for it.

    Raises Refused: what the actor answered, or deadline_exceeded; then the command may still take effect.
    """
    slot = _Slot()
    send(slot)
    with trio.move_on_after(deadline_ms / 1000):
        if slot.answer is None:
            slot.task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(slot.abandon)
        else:
            await trio.lowlevel.checkpoint()
    if slot.answer is None:
        raise Refused("deadline_exceeded")
    if isinstance(slot.answer, Exception):
        raise slot.answer
    return slot.answer
