"""The WebSocket edge over trio_websocket: portable, simple, the reference for every other edge.

A connection is two tasks: ours, and the library's reader, which parses frames, answers pings and keeps the
closing handshake. It reads and writes through our `FrameStream`, to which the session writes directly. Messages come
over a channel of the library's own, which its public interface offers no way around: one task switch for each.

What needs a clock (pings, silence, tokens that run out) is the business of one sweeping task for all connections. The
handshake and the closing handshake have their deadline in the life of the connection itself.

When the edge is cancelled it stops accepting, tells every client that the node is going away, and waits for them within
the deadline for closing: connections live in a nursery that is shielded from that cancellation.
"""

import contextlib
import socket
from collections.abc import Iterator

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from gameserver.beats import next_beat
from gameserver.codec import encode
from gameserver.config import WebSocketSettings
from gameserver.errors import Refused
from gameserver.net.bulk import open_bulk
from gameserver.net.edge import Edge, EdgeCounters, OpenEndpoint, listen
from gameserver.net.frame_stream import RECEIVE_BYTES, FrameStream
from gameserver.net.handshake import Admit, Opening
from gameserver.net.http import problems
from gameserver.net.opening import explained, rejection_headers
from gameserver.protocol.close_codes import VIOLATIONS, CloseCode
from gameserver.protocol.connection import Endpoint
from gameserver.turns import in_turns

log = structlog.get_logger()


async def serve_trio_websocket(
    settings: WebSocketSettings,
    admit: Admit,
    open_endpoint: OpenEndpoint,
    counters: EdgeCounters,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the port. Raises StartError if the address cannot be had."""
    listeners = await listen(settings)
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.callback(listener.socket.close)
        bulk = stack.enter_context(open_bulk(settings))
        server = _Server(Edge(settings, open_endpoint, counters, admit, bulk))
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(server.hold_connections)
            nursery.start_soon(server.sweep)
            task_status.started(listeners[0].socket.getsockname()[1])
            try:
                await trio.serve_listeners(server.serve, listeners, handler_nursery=connections)
            finally:
                server.stop()


class _Server:
    def __init__(self, edge: Edge) -> None:
        self._edge, self._settings, self._counters = edge, edge.settings, edge.counters
        self._live: set[FrameStream] = set()
        self._stopping = trio.Event()
        self._connections: trio.Nursery

    # -- start and stop -------------------------------------------------------------------------------------------

    async def hold_connections(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as self._connections:
                task_status.started(self._connections)
                await self._stopping.wait()

    def stop(self) -> None:
        self._edge.stopping = True
        self._stopping.set()
        self._connections.cancel_scope.deadline = trio.current_time() + self._settings.close_deadline_ms / 1000
        for stream in self._live:
            stream.close(CloseCode.GOING_AWAY)

    # -- one connection -------------------------------------------------------------------------------------------

    async def serve(self, accepted: trio.SocketStream) -> None:
        """From accept to close. Whatever goes wrong ends this connection and no other."""
        if self._edge.full:
            return
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
            stream.cut()
            self._counters.connections -= 1

    def _adopt(self, accepted: trio.socket.SocketType) -> FrameStream:
        """Trio's own socket can only send by awaiting; underneath is an ordinary one that can just try."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        sock = socket.socket(family, kind, protocol, fileno=accepted.detach())
        sock.settimeout(0)
        return FrameStream(sock, self._edge, self._connections, explained)

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
            admission = self._edge.admit(opening)
        except Refused as refused:
            self._counters.handshakes_refused_total += 1
            await _reject(request, refused)
            return
        websocket = await request.accept(subprotocol=admission.subprotocol)
        stream.upgrade()
        stream.admit(admission)
        endpoint = stream.endpoint = self._edge.open_endpoint(admission, stream)
        self._live.add(stream)
        try:
            endpoint.on_open()
            await self._read(websocket, stream, endpoint)
        finally:
            self._live.discard(stream)
            stream.endpoint = None
            endpoint.on_close()

    async def _read(self, websocket: WebSocketConnection, stream: FrameStream, endpoint: Endpoint) -> None:
        while True:
            try:
                message = await websocket.get_message()
            except ConnectionClosed as closed:
                if closed.reason and closed.reason.code in VIOLATIONS:
                    stream.close(VIOLATIONS[closed.reason.code])  # the library itself would just hang up
                return
            if not stream.closing:
                self._hand_over(message, stream, endpoint)
            del message  # an idle connection keeps nothing

    def _hand_over(self, message: str | bytes, stream: FrameStream, endpoint: Endpoint) -> None:
        data = message.encode() if isinstance(message, str) else message
        if len(data) > self._settings.message_limit_bytes:  # the library counts characters
            stream.close(CloseCode.MESSAGE_TOO_BIG)
        elif isinstance(message, str):
            endpoint.on_text(data)
        else:
            endpoint.on_binary(data)

    # -- all connections ------------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        while True:
            await next_beat(self._edge.tick_s)
            await in_turns(self._look_after_all())

    def _look_after_all(self) -> Iterator[None]:
        now = trio.current_time()
        for stream in tuple(self._live):
            stream.look_after(now)
            yield


async def _reject(request: WebSocketRequest, refused: Refused) -> None:
    headers = rejection_headers(refused)
    await request.reject(refused.status, extra_headers=headers, body=encode(problems.details(refused)))
