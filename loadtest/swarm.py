"""Thousands of players' connections in one task.

The client's own connection is right for one player: a task that reads, a library that checks every frame. For two
thousand of them in one process that costs more than the server's work for them. Here one task reads all sockets through
one epoll, nested in Trio's, and takes complete, unfragmented text frames apart itself: all that our server sends. What
comes otherwise ends the connection, and the player comes back as after any other loss.

A player's commands, answers and events are the client's own code (gameserver/client/connection.py).
"""

import os
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import msgspec
import trio

from gameserver.client.connection import Connection, Event, connect
from gameserver.client.errors import Disconnected
from gameserver.client.limits import ConnectionLimits
from gameserver.codec import decode
from gameserver.errors import Refused
from loadtest.handshake import open_websocket
from loadtest.limits import CONNECTING_AT_ONCE
from loadtest.meter import Meter

RECEIVE_BYTES: Final = 65_536
SOCKETS_AT_ONCE: Final = 128
"""Read before other tasks, those that send commands, get their turn."""

NORMAL: Final = 1000
ABNORMAL: Final = 1006
PROTOCOL_ERROR: Final = 1002
SHORTEST_HEAD: Final = 2
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
"""First bytes of final frames without extensions."""


class Swarm:
    """`run` is the task that reads; `connect` as that of the client."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._connecting = trio.CapacityLimiter(CONNECTING_AT_ONCE)
        self._epoll = select.epoll()
        self._wires: dict[int, Wire] = {}

    async def run(self) -> None:
        """Until cancelled."""
        with self._epoll:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for number, _ in self._epoll.poll(0, SOCKETS_AT_ONCE):
                    wire = self._wires.get(number)
                    if wire is not None:
                        wire.receive()

    def cut(self) -> None:
        """All that it reads are lost in the same moment."""
        for wire in list(self._wires.values()):
            wire.cut()

    @asynccontextmanager
    async def connect(
        self,
        url: str,
        token: str,
        instance: int | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        limits: ConnectionLimits | None = None,
    ) -> AsyncIterator[Connection]:
        """Counted; of many who come at once, some wait for their turn. Raises Refused, Unreachable, Disconnected."""
        dial = self._connect if url.startswith("ws:") else connect
        async with AsyncExitStack() as stack:
            try:
                async with self._connecting:
                    opening = dial(url, token, instance, on_event=on_event, limits=limits)
                    connection = await stack.enter_async_context(opening)
            except Refused as refused:
                self._meter.refusals[refused.code] += 1
                raise
            self._meter.reconnects += instance is not None
            yield connection
            if connection.lost is not None:
                self._meter.closings[f"{connection.lost.code} {connection.lost.reason}"] += 1

    @asynccontextmanager
    async def _connect(
        self,
        url: str,
        token: str,
        instance: int | None,
        *,
        on_event: Callable[[Event], None] | None,
        limits: ConnectionLimits | None,
    ) -> AsyncIterator[Connection]:
        limits = limits or ConnectionLimits()
        target = url if instance is None else f"{url}{'&' if '?' in url else '?'}instance={instance}"
        sock, first = await open_websocket(target, token, limits.connect_deadline_ms)
        wire = Wire(sock)
        connection = SwarmConnection(wire, on_event, limits, self._meter)
        wire.begin(connection)
        self._wires[sock.fileno()] = wire
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        try:
            wire.feed(first)
            await connection.greeted()
            yield connection
        finally:
            del self._wires[sock.fileno()]
            wire.close()
            connection.lose(Disconnected(NORMAL, "left"))


class SwarmConnection(Connection):
    """A connection whose messages are handed in; what it is refused is counted."""

    def __init__(
        self, wire: "Wire", on_event: Callable[[Event], None] | None, limits: ConnectionLimits, meter: Meter
    ) -> None:
        super().__init__(wire, 0, on_event, limits)  # type: ignore[arg-type]  # it only sends through it
        self._meter = meter

    def take(self, message: Event) -> None:
        if message["event"] == "error":
            self._meter.refusals[message["payload"]["code"]] += 1
        super().take(message)


class Wire:
    """One socket and what of a frame has come so far. Closing the socket takes it out of the epoll."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._connection: Connection | None = None
        self._waiting = b""

    def begin(self, connection: Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        with suppress(OSError):
            self._sock.send(_masked(CLOSE, b"\x03\xe8"))
        self._sock.close()

    def cut(self) -> None:
        self._end(ABNORMAL, "cut off")

    # -- sending ------------------------------------------------------------------------------------------------------

    async def send_message(self, text: str) -> None:
        """As the client calls it. The kernel takes messages this small at once, or the connection is done for."""
        self._send(_masked(TEXT, text.encode()))

    def _send(self, frame: bytes) -> None:
        try:
            if self._sock.send(frame) < len(frame):
                self._end(ABNORMAL, "the server does not read")
        except OSError as error:
            self._end(ABNORMAL, error.strerror or "broken")

    # -- receiving ----------------------------------------------------------------------------------------------------

    def receive(self) -> None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(ABNORMAL, error.strerror or "broken")
            return
        if data:
            self.feed(data)
        else:
            self._end(ABNORMAL, "without a word")

    def feed(self, data: bytes) -> None:
        data, at = self._waiting + data, 0
        while len(data) - at >= SHORTEST_HEAD:
            start, end = _payload(data, at)
            if end > len(data):
                break
            self._handle(data[at], data[start:end])
            at = end
        self._waiting = data[at:]

    def _handle(self, kind: int, payload: bytes) -> None:
        assert self._connection is not None, "begun"
        if kind == TEXT:
            self._take(self._connection, payload)
        elif kind == PING:
            self._send(_masked(PONG, payload))
        elif kind == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            self._end(code, payload[2:].decode(errors="replace"))
        elif kind != PONG:
            self._end(PROTOCOL_ERROR, "a frame that our server never sends")

    def _take(self, connection: Connection, payload: bytes) -> None:
        try:
            message = decode(payload)
        except msgspec.DecodeError:
            self._end(PROTOCOL_ERROR, "a message that is no JSON")
        else:
            connection.take(message)

    def _end(self, code: int, reason: str) -> None:
        assert self._connection is not None, "begun"
        self._connection.lose(Disconnected(code, reason))


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins and ends; beyond the data if not even its size has come."""
    size = data[at + 1]
    if size < 126:
        return at + 2, at + 2 + size
    width = 2 if size == 126 else 8
    start = at + 2 + width
    return start, start + int.from_bytes(data[at + 2 : start], "big") if start <= len(data) else start


def _masked(kind: int, payload: bytes) -> bytes:
    """A frame from client to server (RFC 6455 §5.3)."""
    size, key = len(payload), os.urandom(4)
    head = bytes((kind, 0x80 | size)) if size < 126 else bytes((kind, 0x80 | 126)) + size.to_bytes(2, "big")
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return head + key + (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")
