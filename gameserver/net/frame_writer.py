"""What is said to one client: the half of a connection that writes, whatever reads.

`send` tries the kernel at once. What the kernel does not take waits in one backlog, which is written out as soon as the
socket takes more. So a session never waits, and no frame ever lands within another one.

Invariants:
- Bytes leave in the order of `send`, each call's bytes together.
- A close frame is the last thing said: whatever is sent after it is dropped.
- The backlog stays within its limit (and one close frame). The call that would break it is dropped and the client told
  that it is too slow; only if the kernel took part of that very call, nothing can be said any more, and the connection
  is cut.
- The endpoint hears of a congestion before the backlog is at its limit, and can stop.
- An idle connection keeps no buffer.
- Who closes the socket has set `closing` before: from then on its descriptor is somebody else's.
"""

import errno
import socket
import struct
from typing import Final

import structlog
import trio

from gameserver.net.bulk import Bulk
from gameserver.net.edge import Edge, close_frame
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.connection import Endpoint

FLUSH_BYTES: Final = 65_536
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER at zero seconds: a client that never reads must not hold the kernel's memory after we gave it up."""

log = structlog.get_logger()


class FrameWriter:
    """Of a connected, non-blocking socket."""

    __slots__ = ("_congested", "_socket", "_took_at", "backlog", "closing", "descriptor", "edge", "endpoint")

    def __init__(self, sock: socket.socket, edge: Edge) -> None:
        self._socket, self.edge = sock, edge
        self.descriptor = sock.fileno()
        """At hand for the bulk; see the last invariant."""
        self.backlog: bytearray | None = None
        """What was said, and waits for the kernel to take it."""
        self._congested = False
        self._took_at = 0.0
        self.closing = False
        """Nothing more is said, and what the client still says goes unheard."""
        self.endpoint: Endpoint | None = None
        """Who is told of congestion, once there is one."""

    # -- for who carries it ---------------------------------------------------------------------------------------

    def on_backlog(self) -> None:
        """There is a backlog: call `write_some` whenever the socket takes more, until nothing waits."""
        raise NotImplementedError

    def on_last_word(self) -> None:
        """The last has been said: see to it that the connection ends within the deadline for closing."""
        raise NotImplementedError

    def cut(self) -> None:
        """End the connection at once. Never raises."""
        raise NotImplementedError

    # -- for the session ------------------------------------------------------------------------------------------

    @property
    def bulk(self) -> Bulk:
        return self.edge.bulk

    def send(self, frames: bytes | bytearray) -> None:
        if self.closing:
            return
        if self.backlog is not None:
            if len(self.backlog) + len(frames) > self.edge.settings.outgoing_limit_bytes:
                self.too_slow()
            else:
                self._keep(frames)
        else:
            self._send_now(frames)

    def close(self, code: CloseCode) -> None:
        self.say_last(close_frame(code))

    def _send_now(self, frames: bytes | bytearray) -> None:
        try:
            sent = self._socket.send(frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.cut()
            return
        if sent < len(frames):
            self._keep_rest(frames, sent)

    # -- for the bulk (see bulk.py) -------------------------------------------------------------------------------

    def took(self, frames: bytes, result: int) -> None:
        """Never raises: the bulk has others to tell."""
        try:
            if result >= 0 or result == -errno.EAGAIN:
                self._keep_rest(frames, max(0, result))
            else:
                self.cut()
        except Exception:
            log.exception("websocket.connection_failed")
            self.cut()

    # -- ends -----------------------------------------------------------------------------------------------------

    def say_last(self, frame: bytes) -> None:
        if self.closing:
            return
        if self.backlog is not None:
            self._keep(frame)
        else:
            self._send_now(frame)
        if not self.closing:
            self.closing = True
            self.on_last_word()

    def too_slow(self) -> None:
        self.edge.counters.slow_consumers_total += 1
        self.close(CloseCode.SLOW_CONSUMER)

    def too_slow_at(self) -> float:
        """When it has taken too long that something waits, and the client takes nothing."""
        if self.backlog is None or self.closing:
            return float("inf")
        return self._took_at + self.edge.settings.slow_consumer_deadline_ms / 1000

    # -- the backlog ----------------------------------------------------------------------------------------------

    def write_some(self) -> None:
        """Raises OSError when the client has gone."""
        if self.backlog is None:
            return
        with memoryview(self.backlog) as whole, whole[:FLUSH_BYTES] as part:
            try:
                sent = self._socket.send(part)
            except BlockingIOError:
                return
        del self.backlog[:sent]
        self.edge.counters.bytes_buffered -= sent
        self._took_at = trio.current_time()
        if not self.backlog:
            self.backlog = None
            self._look_for_congestion()

    def drop_backlog(self) -> None:
        if self.backlog is not None:
            self.edge.counters.bytes_buffered -= len(self.backlog)
            self.backlog = None

    def _keep_rest(self, frames: bytes | bytearray, sent: int) -> None:
        if len(frames) - sent <= self.edge.settings.outgoing_limit_bytes:
            self._keep(frames[sent:])
        elif sent:
            self.edge.counters.slow_consumers_total += 1
            self.cut()
        else:
            self.too_slow()

    def _keep(self, data: bytes | bytearray) -> None:
        self.edge.counters.bytes_buffered += len(data)
        if self.backlog is None:
            self.backlog = bytearray(data)
            self._took_at = trio.current_time()
            self.on_backlog()
        else:
            self.backlog += data
        self._look_for_congestion()

    def _look_for_congestion(self) -> None:
        if self.endpoint is None or self.closing:
            return
        waiting = 0 if self.backlog is None else len(self.backlog)
        try:
            if waiting > self.edge.settings.congestion_bytes and not self._congested:
                self._congested = True
                self.endpoint.on_congested()
            elif self._congested and not waiting:
                self._congested = False
                self.endpoint.on_drained()
        except Exception:  # it must not raise; if it does, only this connection suffers
            log.exception("websocket.connection_failed")
            self.cut()
