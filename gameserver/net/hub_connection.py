"""One connection of the hub, from accept to close: it has no task, and is told when its socket has something for it.

    opening ──request──► open ──close frame, either side's──► closing ──the client closes, too──► gone
       └──────────────────┴──────────── hang-up, deadline ──────┴────────────────────────────────────▲

Invariants:
- The endpoint exists from the end of the handshake on; `on_close` is its last call, exactly once.
- Only the hub closes the socket, and only between two polls (see hub.py); until then a connection that is gone is deaf
  and dumb.
"""

import select
import socket
from contextlib import suppress
from typing import Final, Protocol

import structlog
import trio

from gameserver.net.edge import Edge
from gameserver.net.frame_reader import FrameReader
from gameserver.net.frame_writer import RESET
from gameserver.net.liveness import Liveness
from gameserver.net.opening import REQUEST_LIMIT_BYTES, TOO_LONG, Answered, answer, explained, request_end
from gameserver.net.timer_wheel import NOWHERE
from gameserver.protocol.close_codes import CloseCode

RECEIVE_BYTES: Final = 4_096
"""Dozens of commands; who fills it with the dearest frames there are takes no more than a few milliseconds at once."""

READ: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITE: Final = select.EPOLLOUT

log = structlog.get_logger()


class Carrier(Protocol):
    """What a connection needs of its hub."""

    now: float
    """Trio's clock, as of the present batch."""

    def watch(self, connection: "HubConnection", events: int) -> None:
        """From now on tell it of these events."""
        ...

    def call_at(self, connection: "HubConnection", at: float) -> None:
        """Have it look at the clock by then."""
        ...

    def bury(self, connection: "HubConnection") -> None:
        """It is gone."""
        ...


class HubConnection(Liveness):
    """Owns `sock` (connected, non-blocking) from here on."""

    __slots__ = ("_carrier", "_reader", "_request", "_until", "gone", "slot")

    def __init__(self, sock: socket.socket, edge: Edge, carrier: Carrier) -> None:
        super().__init__(sock, edge)
        self._carrier = carrier
        self._request: bytes | None = b""
        """As much as has come of it; None once it has been answered."""
        self._reader: FrameReader | None = None
        """None until the handshake has been accepted."""
        self._until = carrier.now + edge.settings.handshake_deadline_ms / 1000
        """The end of the opening handshake, or of the closing one."""
        self.gone = False
        self.slot = NOWHERE
        self._set_alarm()

    @property
    def socket(self) -> socket.socket:
        return self._socket

    # -- what the socket has for us ---------------------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """Never raises: whatever goes wrong ends this connection and no other."""
        try:
            if events & WRITE:
                self._flush()
            if events != WRITE and not self.gone:
                self._receive()
        except Exception:
            log.exception("websocket.connection_failed")
            self.cut()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.cut()
            return
        if not data:
            self._leave()
            return
        self.received_at = self._carrier.now
        if self.closing:
            return
        if self._reader is None:
            self._open(data)
        else:
            assert self.endpoint is not None
            self._reader.feed(data, self.endpoint.on_text, self)

    def _flush(self) -> None:
        try:
            self.write_some()
            if self.backlog is None and self.closing and not self.gone:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()
        if self.backlog is None and not self.gone:
            self._carrier.watch(self, READ)

    # -- the opening handshake --------------------------------------------------------------------------------------

    def _open(self, data: bytes) -> None:
        request = (self._request or b"") + data
        end = request_end(request)
        if end is None and len(request) <= REQUEST_LIMIT_BYTES:
            self._request = request
            return
        self._request = None
        answered = Answered(explained(TOO_LONG)) if end is None else answer(request[:end], self.edge.admit)
        if answered.admission is None:
            self.edge.counters.handshakes_refused_total += answered.refused
            self.edge.counters.handshakes_failed_total += 1
            self.say_last(answered.answer)
            return
        self.send(answered.answer)
        self.admit(answered.admission)
        self._reader = FrameReader(self.edge.settings.message_limit_bytes)
        self.endpoint = endpoint = self.edge.open_endpoint(answered.admission, self)
        self._set_alarm()
        endpoint.on_open()
        self._reader.feed(request[end:], endpoint.on_text, self)

    # -- what is no text (see frame_reader.py) ------------------------------------------------------------------------

    def on_binary(self, data: bytes) -> None:
        assert self.endpoint is not None
        self.endpoint.on_binary(data)

    def on_ping(self, pong: bytes) -> None:
        self.send(pong)

    def on_goodbye(self, answer: bytes) -> None:
        self.say_last(answer)
        self._part()

    def on_violation(self, code: CloseCode) -> None:
        self.close(code)

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """The time has come that the wheel was told: do what is due."""
        if self._reader is not None and not self.closing:
            self.look_after(now)
        elif now >= self._until:
            self.cut()
        self._set_alarm()

    def due_at(self) -> float:
        return self._until if self._reader is None or self.closing else super().due_at()

    def _set_alarm(self) -> None:
        if not self.gone:
            self._carrier.call_at(self, self.due_at())

    # -- how it writes (see frame_writer.py) --------------------------------------------------------------------------

    def on_backlog(self) -> None:
        self._carrier.watch(self, READ | WRITE)
        self._set_alarm()

    def on_last_word(self) -> None:
        self._until = trio.current_time() + self.edge.settings.close_deadline_ms / 1000
        self._set_alarm()
        if self.backlog is None:
            with suppress(OSError):  # it has gone already, and the next read says so
                self._socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._socket.shutdown(socket.SHUT_RDWR)  # it is ready from now on, which wakes the hub
        self._leave()

    def _leave(self) -> None:
        if self.gone:
            return
        self.gone = self.closing = True
        self.drop_backlog()
        if self._request is not None:
            self.edge.counters.handshakes_failed_total += 1
        self._carrier.bury(self)

    def end(self) -> None:
        """Close the socket, and tell the endpoint. By the hub, between two polls."""
        self._socket.close()
        self._part()

    def _part(self) -> None:
        endpoint, self.endpoint = self.endpoint, None
        if endpoint is not None:
            try:
                endpoint.on_close()
            except Exception:
                log.exception("websocket.connection_failed")
