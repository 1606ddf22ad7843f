"""Events on their way to whoever reads them."""

from collections import deque
from collections.abc import Callable

import trio

from gameserver.client.connection import Event


class Inbox:
    """Bounded, without ever blocking the connection: what does not fit is not taken, and `room` says when to ask for
    it again. As an iterator it ends when it was closed, with the error if there was one.

    With `on_event`, each event goes there, at once, and none is kept.
    """

    def __init__(self, limit: int, on_event: Callable[[Event], None] | None = None) -> None:
        self._limit, self._on_event = limit, on_event
        self._events: deque[Event] = deque()
        self._readers, self._writers = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()
        self._closed = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> bool:
        """Whether there was room; what comes after the end is dropped."""
        if self._closed:
            return True
        if self._on_event is not None:
            self._on_event(event)
            return True
        if len(self._events) >= self._limit:
            return False
        self._events.append(event)
        self._readers.unpark()
        return True

    async def room(self) -> None:
        """Until the reader has caught up by half, if the limit was reached."""
        if len(self._events) >= self._limit:
            await self._writers.park()

    def close(self, error: Exception | None = None) -> None:
        if not self._closed:
            self._closed, self._error = True, error
            self._readers.unpark_all()

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            await self._readers.park()
        event = self._events.popleft()
        if len(self._events) <= self._limit // 2:
            self._writers.unpark_all()
        return event
