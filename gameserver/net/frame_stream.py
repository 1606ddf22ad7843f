"""The socket of one WebSocket connection, with two faces: Trio stream for the library, `Connection` for the session.

Both write through `send`: it tries the kernel at once, and what the kernel does not take waits in one backlog that a
flushing task, alive only as long as there is a backlog, writes out. So the session never waits, and a control frame of
the library never lands within a frame of the session.

Invariants:
- Bytes leave in the order of `send`, each call's bytes together.
- A close frame is the last thing said: after it, whatever either face still sends is dropped.
- The backlog stays within its limit (and one close frame). The call that would break it is dropped and the client told
  that it is too slow; only if the kernel took part of that very call, nothing can be said any more, and the socket is
  cut.
- From the close frame on, `life` has a deadline: the task of the connection ends then, heard or not.
- Only `finish` and `abort` close the socket. The library's `aclose` just says that it has finished with it.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio
from attrs import define

from gameserver.protocol.close_codes import CloseCode

CLOSE_OPCODE: Final = 0x88
FLUSH_BYTES: Final = 65_536
RECEIVE_BYTES: Final = 4_096
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER at zero seconds: a client that never reads must not hold the kernel's memory after we gave it up."""


@define
class EdgeCounters:
    """What the edge did since its start (`*_total`), and what it holds now. A failed handshake is any that did not end
    in a connection; the refused ones, which were told why, are among them."""

    connections: int = 0
    bytes_buffered: int = 0
    connections_total: int = 0
    handshakes_refused_total: int = 0
    handshakes_failed_total: int = 0
    slow_consumers_total: int = 0


class FrameStream(trio.abc.Stream):
    """Owns `sock` (connected, non-blocking) from here on. `flushers` must outlive the connection. `explain` gets to see
    what the library says before the upgrade, and may say it better."""

    def __init__(
        self,
        sock: socket.socket,
        flushers: trio.Nursery,
        counters: EdgeCounters,
        limit_bytes: int,
        close_deadline_s: float,
        explain: Callable[[bytes], bytes],
    ) -> None:
        self._socket, self._flushers, self._counters = sock, flushers, counters
        self._limit_bytes, self._close_deadline_s = limit_bytes, close_deadline_s
        self._explain = explain
        self._backlog = bytearray()
        self._flushed: trio.Event | None = None
        self.life = trio.CancelScope()
        self.upgraded = False
        self.closing = False
        """Nothing more is said, and what the client still says goes unheard."""
        self.received_at = trio.current_time()

    # -- for the session ------------------------------------------------------------------------------------------

    def send(self, frames: bytes) -> None:
        if self.closing:
            return
        if self._backlog:
            if len(self._backlog) + len(frames) > self._limit_bytes:
                self._too_slow()
            else:
                self._keep(frames)
            return
        try:
            sent = self._socket.send(frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(frames):
            self._keep_rest(frames, sent)

    def close(self, code: CloseCode) -> None:
        if self.closing:
            return
        frame = close_frame(code)
        if self._backlog:
            self._keep(frame)
        else:
            self.send(frame)
        self._said_all()

    # -- for the library ------------------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Whole frames, or a part of the handshake's answer. Never blocks: what waits is bounded, see above."""
        last = data[:1] == bytes((CLOSE_OPCODE,))
        self.send(bytes(data) if self.upgraded else self._explain(bytes(data)))
        if last:
            self._said_all()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            # Waiting first, and not only after a vain attempt, saves a syscall per message.
            await self._readable()
            try:
                data = self._socket.recv(max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                self._hung_up()
                raise trio.BrokenResourceError from error
            if not data:
                self._hung_up()
            self.received_at = trio.current_time()
            return data

    async def aclose(self) -> None:
        """The library will neither read nor write any more; the socket stays open until `finish`."""
        self._hung_up()
        await trio.lowlevel.checkpoint()

    # -- the end --------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Let the client take all that was said, then close; within the deadline for closing.

        Nobody else may be reading. A socket closed with unread input would be reset, and the client could lose the
        close frame that tells it why: so what it still sends is read and dropped until it closes, too.
        """
        deadline = min(self.life.deadline, trio.current_time() + self._close_deadline_s)
        with trio.move_on_at(deadline):
            if self._flushed is not None:
                await self._flushed.wait()
            try:
                self._socket.shutdown(socket.SHUT_WR)
                while await self.receive_some():
                    pass
                self._socket.close()
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client has gone for good, and abort is all that remains
        self.abort()

    def abort(self) -> None:
        """Cut the connection, unless it is closed. Whoever waits for the socket is woken with ClosedResourceError."""
        self.closing = True
        self._counters.bytes_buffered -= len(self._backlog)
        self._backlog.clear()
        if self._socket.fileno() == -1:
            return
        trio.lowlevel.notify_closing(self._socket)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _keep_rest(self, frames: bytes, sent: int) -> None:
        if len(frames) - sent <= self._limit_bytes:
            self._keep(frames[sent:])
        elif sent:
            self._counters.slow_consumers_total += 1
            self.abort()
        else:
            self._too_slow()

    def _keep(self, data: bytes) -> None:
        if not self._backlog:
            self._flushed = trio.Event()
            self._flushers.start_soon(self._flush, self._flushed)
        self._backlog += data
        self._counters.bytes_buffered += len(data)

    def _too_slow(self) -> None:
        self._counters.slow_consumers_total += 1
        self.close(CloseCode.SLOW_CONSUMER)

    def _said_all(self) -> None:
        self.closing = True
        self.life.deadline = min(self.life.deadline, trio.current_time() + self._close_deadline_s)

    def _hung_up(self) -> None:
        """Before the upgrade, nobody but the deadline would notice that no request will ever come."""
        if not self.upgraded:
            self.life.cancel()

    async def _readable(self) -> None:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self._socket)

    async def _flush(self, flushed: trio.Event) -> None:
        try:
            while self._backlog:
                await trio.lowlevel.wait_writable(self._socket)
                self._write_some()
        except trio.ClosedResourceError:
            pass  # aborted, and the backlog with it
        except OSError:
            self.abort()
        finally:
            flushed.set()

    def _write_some(self) -> None:
        with memoryview(self._backlog) as whole, whole[:FLUSH_BYTES] as part:
            try:
                sent = self._socket.send(part)
            except BlockingIOError:
                return
        del self._backlog[:sent]
        self._counters.bytes_buffered -= sent


def close_frame(code: CloseCode) -> bytes:
    payload = code.code.to_bytes(2, "big") + code.reason.encode()
    assert len(payload) < 126
    return bytes((CLOSE_OPCODE, len(payload))) + payload
