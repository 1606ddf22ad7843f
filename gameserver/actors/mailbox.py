"""A bounded queue with one reader that takes everything at once: one wake-up per burst, not per message."""

from collections import deque

import trio

from gameserver.actors.messages import Message


class Mailbox:
    """`put` never blocks. The reader waits with `wait`, then takes from `messages` until it is empty."""

    __slots__ = ("_limit", "_reader", "messages")

    def __init__(self, limit: int) -> None:
        self.messages: deque[Message] = deque()
        self._limit = limit
        self._reader: trio.lowlevel.Task | None = None

    def put(self, message: Message) -> bool:
        """False if the mailbox is full; the message is not taken then."""
        if len(self.messages) >= self._limit:
            return False
        self.messages.append(message)
        if self._reader is not None:
            self._wake(self._reader)
        return True

    def force(self, message: Message) -> None:
        """Put, also beyond the limit: for the few words of the catalog itself."""
        self.messages.append(message)
        if self._reader is not None:
            self._wake(self._reader)

    def _wake(self, reader: trio.lowlevel.Task) -> None:
        self._reader = None
        trio.lowlevel.reschedule(reader)

    async def wait(self) -> None:
        """Until there is a message; always a checkpoint."""
        if self.messages:
            await trio.lowlevel.checkpoint()
            return
        assert self._reader is None, "a mailbox has one reader"
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED
