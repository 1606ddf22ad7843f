"""The socket of one WebSocket connection as a Trio stream, for the library; the session writes to it directly.

Both write through `FrameWriter.send`, so a control frame of the library never lands within a frame of the session. A
task that writes the backlog out lives only as long as there is one.

Invariants:
- From the last word on, `life` has a deadline: the task of the connection ends then, heard or not.
- Only `finish` and `cut` close the socket. The library's `aclose` just says that it has finished with it.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from gameserver.net.edge import CLOSE_OPCODE, Edge
from gameserver.net.frame_writer import RESET
from gameserver.net.liveness import Liveness
from gameserver.net.opening import request_end

RECEIVE_BYTES: Final = 4_096


class FrameStream(Liveness, trio.abc.Stream):
    """Owns `sock` (connected, non-blocking) from here on. `flushers` must outlive the connection. `explain` gets to see
    what the library says before the upgrade, and may say it better."""

    def __init__(
        self, sock: socket.socket, edge: Edge, flushers: trio.Nursery, explain: Callable[[bytes], bytes]
    ) -> None:
        super().__init__(sock, edge)
        self._flushers, self._explain = flushers, explain
        self._close_deadline_s = edge.settings.close_deadline_ms / 1000
        self._flushed: trio.Event | None = None
        self.life = trio.CancelScope()
        self._upgraded = trio.Event()
        self._request = b""
        """As much as has come of it."""
        self._early = b""
        """Came in one go with the request; the library would lose it."""

    @property
    def upgraded(self) -> bool:
        return self._upgraded.is_set()

    def upgrade(self) -> None:
        """The handshake has been accepted: from now on there are frames, and no deadline."""
        self._upgraded.set()
        self.life.deadline = float("inf")

    # -- for the library ------------------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Whole frames, or a part of the handshake's answer. Never blocks: what waits is bounded."""
        said = bytes(data) if self.upgraded else self._explain(bytes(data))
        if said[0] == CLOSE_OPCODE:
            self.say_last(said)
        else:
            self.send(said)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._early:
            await self._upgraded.wait()
            early, self._early = self._early, b""
            return early
        data = await self._receive(max_bytes or RECEIVE_BYTES)
        return data if self.upgraded else self._within_request(data)

    async def _receive(self, max_bytes: int) -> bytes:
        while True:
            # Waiting first, and not only after a vain attempt, saves a syscall per message.
            await self._readable()
            try:
                data = self._socket.recv(max_bytes)
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

    def _within_request(self, data: bytes) -> bytes:
        self._request += data
        end = request_end(self._request)
        if end is None:
            return data
        behind = len(self._request) - end
        self._early, self._request = data[len(data) - behind :], b""
        return data[: len(data) - behind]

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
                while await self._receive(RECEIVE_BYTES):
                    pass
                self.closing = True
                self._socket.close()
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client has gone for good, and cutting is all that remains
        self.cut()

    def cut(self) -> None:
        """Unless it is closed. Whoever waits for the socket is woken with ClosedResourceError."""
        self.closing = True
        self.drop_backlog()
        if self._socket.fileno() == -1:
            return
        trio.lowlevel.notify_closing(self._socket)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def on_backlog(self) -> None:
        self._flushed = trio.Event()
        self._flushers.start_soon(self._flush, self._flushed)

    def on_last_word(self) -> None:
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
            while self.backlog is not None:
                await trio.lowlevel.wait_writable(self._socket)
                self.write_some()
        except trio.ClosedResourceError:
            pass  # cut, and the backlog with it
        except OSError:
            self.cut()
        finally:
            flushed.set()
