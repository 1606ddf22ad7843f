"""The WebSocket edge over trio_websocket: portable, simple, the reference for every other edge.

A connection is two tasks: ours, and the library's reader, which parses frames, answers pings and keeps the
closing handshake. It reads and writes through our `FrameStream`, to which the session writes directly. Messages come
over a channel of the library's own, which its public interface offers no way around: one task switch for each.

What needs a clock (pings, silence, tokens that run out) is the business of one sweeping task for all connections. The
handshake and the closing handshake have their deadline in the life of the connection itself.

When the edge is cancelled it stops accepting, tells every client that the node is going away, and waits for them within
the deadline for closing: connections live in a nursery that is shielded from that cancellation.
"""

import errno
import socket
import time
from collections.abc import Callable
from typing import Final

import structlog
import trio
from attrs import define
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from gameserver.codec import encode
from gameserver.config import WebSocketSettings
from gameserver.errors import Refused, StartError
from gameserver.net.frame_stream import RECEIVE_BYTES, EdgeCounters, FrameStream
from gameserver.net.handshake import Admission, Admit, Opening
from gameserver.net.http import problems
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.connection import Connection, Endpoint

PING: Final = b"\x89\x00"
WORDLESS: Final = b"content-length: 0\r\n\r\n"
SWEEP_SLICE: Final = 500
"""Connections looked at before other tasks get their turn."""

VIOLATIONS: Final = {code.code: code for code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_TEXT)}

OpenEndpoint = Callable[[Admission, Connection], Endpoint]

log = structlog.get_logger()


async def serve_websocket(
    settings: WebSocketSettings,
    admit: Admit,
    open_endpoint: OpenEndpoint,
    counters: EdgeCounters,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the port. Raises StartError if the address cannot be had."""
    listeners = await _listen(settings)
    edge = _Edge(settings, admit, open_endpoint, counters)
    try:
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(edge.hold_connections)
            nursery.start_soon(edge.sweep)
            task_status.started(listeners[0].socket.getsockname()[1])
            try:
                await trio.serve_listeners(edge.serve, listeners, handler_nursery=connections)
            finally:
                edge.stop()
    finally:
        for listener in listeners:
            listener.socket.close()


async def _listen(settings: WebSocketSettings) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            advice = "stop what listens there, or set GAMESERVER_WEBSOCKET_PORT to another port"
            raise StartError(f"{address} is taken; {advice}") from error
        advice = "check GAMESERVER_WEBSOCKET_HOST and GAMESERVER_WEBSOCKET_PORT"
        raise StartError(f"cannot listen on {address} ({error.strerror or error}); {advice}") from error


@define(eq=False)
class _Live:
    """A connection as the sweep sees it: `pinged_at` by Trio's clock, `token_expires_at` in Unix seconds."""

    stream: FrameStream
    token_expires_at: int
    pinged_at: float = 0.0


class _Edge:
    def __init__(
        self, settings: WebSocketSettings, admit: Admit, open_endpoint: OpenEndpoint, counters: EdgeCounters
    ) -> None:
        self._settings, self._admit, self._open_endpoint, self._counters = settings, admit, open_endpoint, counters
        self._close_deadline_s = settings.close_deadline_ms / 1000
        self._live: set[_Live] = set()
        self._stopping = trio.Event()
        self._connections: trio.Nursery

    # -- start and stop -------------------------------------------------------------------------------------------

    async def hold_connections(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as self._connections:
                task_status.started(self._connections)
                await self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()
        self._connections.cancel_scope.deadline = trio.current_time() + self._close_deadline_s
        for live in self._live:
            live.stream.close(CloseCode.GOING_AWAY)

    # -- one connection -------------------------------------------------------------------------------------------

    async def serve(self, accepted: trio.SocketStream) -> None:
        """From accept to close. Whatever goes wrong ends this connection and no other."""
        if self._counters.connections >= 2 * self._settings.connections_limit:
            return  # even those that are being refused take up a place, and there is an end to those places, too
        stream = self._adopt(accepted.socket)
        self._counters.connections += 1
        self._counters.connections_total += 1
        try:
            with stream.life:
                await self._converse(stream)
            await stream.finish()
        except* Exception as failures:
            if stream.upgraded or failures.split(UnicodeError)[1]:  # the library trips over a Host that is no text
                log.exception("websocket.connection_failed")
        finally:
            stream.abort()
            self._counters.connections -= 1

    def _adopt(self, accepted: trio.socket.SocketType) -> FrameStream:
        """Trio's own socket can only send by awaiting; underneath is an ordinary one that can just try."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        sock = socket.socket(family, kind, protocol, fileno=accepted.detach())
        sock.settimeout(0)
        limit_bytes = self._settings.outgoing_limit_bytes
        return FrameStream(sock, self._connections, self._counters, limit_bytes, self._close_deadline_s, _explained)

    async def _converse(self, stream: FrameStream) -> None:
        stream.life.deadline = trio.current_time() + self._settings.handshake_deadline_ms / 1000
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(
                    nursery,
                    stream,
                    max_message_size=self._settings.message_limit_bytes,
                    receive_buffer_size=RECEIVE_BYTES,
                )
                await self._answer(request, stream)
                nursery.cancel_scope.cancel()
        finally:
            if not stream.upgraded:
                self._counters.handshakes_failed_total += 1

    async def _answer(self, request: WebSocketRequest, stream: FrameStream) -> None:
        opening = Opening(request.path, request.headers, request.proposed_subprotocols)
        try:
            self._require_room()
            admission = self._admit(opening)
        except Refused as refused:
            self._counters.handshakes_refused_total += 1
            await _reject(request, refused)
            return
        websocket = await request.accept(subprotocol=admission.subprotocol)
        stream.upgraded, stream.life.deadline = True, float("inf")
        endpoint = self._open_endpoint(admission, stream)
        live = _Live(stream, admission.token_expires_at)
        self._live.add(live)
        try:
            endpoint.on_open()
            await self._read(websocket, stream, endpoint)
        finally:
            self._live.discard(live)
            endpoint.on_close()

    def _require_room(self) -> None:
        if self._stopping.is_set():
            raise Refused("node_stopping")
        if self._counters.connections > self._settings.connections_limit:
            raise Refused("too_many_connections")

    async def _read(self, websocket: WebSocketConnection, stream: FrameStream, endpoint: Endpoint) -> None:
        limit_bytes = self._settings.message_limit_bytes
        while True:
            try:
                message = await websocket.get_message()
            except ConnectionClosed as closed:
                if closed.reason and closed.reason.code in VIOLATIONS:
                    stream.close(VIOLATIONS[closed.reason.code])  # the library itself would just hang up
                return
            if stream.closing:
                continue
            if isinstance(message, bytes):
                stream.close(CloseCode.UNSUPPORTED_DATA)
                continue
            data = message.encode()
            if len(data) > limit_bytes:  # the library counts characters
                stream.close(CloseCode.MESSAGE_TOO_BIG)
            else:
                endpoint.on_text(data)

    # -- all connections ------------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        settings = self._settings
        shortest_ms = min(settings.ping_interval_ms, settings.idle_deadline_ms)
        interval_s = max(0.02, min(1.0, shortest_ms / 4000))
        while True:
            await trio.sleep(interval_s)
            for index, live in enumerate(tuple(self._live)):
                self._look_after(live, trio.current_time(), time.time())
                if index % SWEEP_SLICE == SWEEP_SLICE - 1:
                    await trio.lowlevel.checkpoint()

    def _look_after(self, live: _Live, now: float, unix_s: float) -> None:
        silent_ms = (now - live.stream.received_at) * 1000
        if unix_s >= live.token_expires_at:
            live.stream.close(CloseCode.TOKEN_EXPIRED)
        elif silent_ms >= self._settings.idle_deadline_ms:
            live.stream.close(CloseCode.IDLE)
        elif silent_ms >= self._settings.ping_interval_ms <= (now - live.pinged_at) * 1000:
            live.pinged_at = now
            live.stream.send(PING)


def _explained(answer: bytes) -> bytes:
    """The library itself refuses what is no handshake at all, and does so without a word: here is the word."""
    if not answer.endswith(WORDLESS):
        return answer
    refused = Refused("invalid_message", "This is no opening handshake of a WebSocket (RFC 6455).")
    body = encode({**problems.details(refused), "status": int(answer.split()[1])})
    headers = f"content-type: {problems.CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\n\r\n"
    return answer.removesuffix(WORDLESS) + headers.encode() + body


async def _reject(request: WebSocketRequest, refused: Refused) -> None:
    headers = {**problems.headers(refused), "Content-Type": problems.CONTENT_TYPE, "Connection": "close"}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await request.reject(refused.status, extra_headers=encoded, body=encode(problems.details(refused)))
