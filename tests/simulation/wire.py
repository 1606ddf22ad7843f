"""A WebSocket connection without a network, between a Player and a node: in order both ways, and a little late.

The player's side is what gameserver/client/connection.py takes for its WebSocket; the node's side is the Connection of
protocol/connection.py. A break loses what is on its way.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import trio
from attrs import Factory, define, field
from trio_websocket import CloseReason, ConnectionClosed

from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.session import Session
from tests.one_by_one import OneByOne


@define(eq=False)
class Way:
    """One direction: messages with the time at which they arrive. None is the end."""

    latency_s: float
    messages: deque[tuple[float, Any]] = Factory(deque)
    waiting_bytes: int = 0
    _came: trio.Event = Factory(trio.Event)

    def put(self, message: Any) -> None:
        self.waiting_bytes += len(message) if message is not None else 0
        self.messages.append((trio.current_time() + self.latency_s, message))
        self._came.set()

    async def take(self) -> Any:
        while not self.messages:
            self._came = trio.Event()
            await self._came.wait()
        await trio.sleep_until(self.messages[0][0])
        if not self.messages:  # lost meanwhile
            return await self.take()
        message = self.messages.popleft()[1]
        self.waiting_bytes -= len(message) if message is not None else 0
        return message

    def lose(self) -> None:
        """What is on its way, and say the end at once."""
        self.messages.clear()
        self.waiting_bytes = 0
        self.messages.append((trio.current_time(), None))
        self._came.set()


@define(eq=False)
class Wire:
    """`on_said` and `on_asked` hear every message when it leaves the node or the player; `on_closed`, why the node
    hangs up."""

    name: str
    latency_s: float
    congestion_bytes: int
    limit_bytes: int
    on_said: Callable[["Wire", bytes], None]
    on_asked: Callable[["Wire", bytes], None]
    on_closed: Callable[["Wire", CloseCode], None]
    reads_from: Callable[[], float] = lambda: 0.0
    """The time before which a slow player takes nothing."""
    to_player: Way = field(init=False)
    to_node: Way = field(init=False)
    bulk: OneByOne = field(factory=OneByOne)
    code: CloseCode | None = None
    open: bool = True
    session: Session | None = None
    congested: bool = False

    def __attrs_post_init__(self) -> None:
        self.to_player, self.to_node = Way(self.latency_s), Way(self.latency_s)

    def cut(self) -> None:
        """Without a word to either side."""
        if self.open:
            self.open = False
            self.to_player.lose()
            self.to_node.lose()

    # -- the player's side --------------------------------------------------------------------------------------------

    async def send_message(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        if not self.open:
            raise ConnectionClosed(None)
        data = message.encode()
        self.on_asked(self, data)
        self.to_node.put(data)

    async def get_message(self) -> bytes:
        message = await self.to_player.take()
        if trio.current_time() < self.reads_from():
            await trio.sleep_until(self.reads_from())
        self._look_for_congestion()
        if message is None:
            raise ConnectionClosed(None if self.code is None else CloseReason(*self.code.value))
        return bytes(message)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.hang_up()

    def hang_up(self) -> None:
        if self.open:
            self.open = False
            self.to_node.put(None)
            self.to_player.lose()

    # -- the node's side ----------------------------------------------------------------------------------------------

    async def serve(self, session: Session) -> None:
        """As an edge does: from the greeting until either side has gone."""
        self.session = session
        session.on_open()
        try:
            while (message := await self.to_node.take()) is not None:
                session.on_text(message)
        finally:
            self.session = None
            session.on_close()

    def send(self, frames: bytes) -> None:
        if not self.open or self.code is not None:
            return
        for line in unframed(frames):
            self.on_said(self, line)
            self.to_player.put(line)
        if self.to_player.waiting_bytes > self.limit_bytes:
            self.close(CloseCode.SLOW_CONSUMER)
        self._look_for_congestion()

    def _look_for_congestion(self) -> None:
        if self.session is None or not self.open or self.code is not None:
            return
        waiting_bytes = self.to_player.waiting_bytes
        if waiting_bytes > self.congestion_bytes and not self.congested:
            self.congested = True
            self.session.on_congested()
        elif self.congested and not waiting_bytes:
            self.congested = False
            self.session.on_drained()

    def close(self, code: CloseCode) -> None:
        if self.open and self.code is None:
            self.code = code
            self.on_closed(self, code)
            self.to_player.put(None)
            self.to_node.lose()


def unframed(frames: bytes) -> list[bytes]:
    """The texts of unmasked text frames."""
    texts, start = [], 0
    while start < len(frames):
        size, start = frames[start + 1], start + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(frames[start : start + width], "big"), start + width
        texts.append(frames[start : start + size])
        start += size
    return texts
