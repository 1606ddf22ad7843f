"""One HTTP/1.1 connection, from accept to close: a task that takes one request after another.

The protocol is h11's: parsing, framing, what may follow what. Ours are the socket and the clock. Requests that a client
sends ahead of their answers wait in the socket, and so cost nothing.
"""

import contextlib
import math
from typing import Any, Final

import h11
import structlog
import trio

from gameserver.config import HttpSettings
from gameserver.net.http_exchange import ASGI, CLOSE, App, Exchange, date

RECEIVE_BYTES: Final = 16_384
LINGER_S: Final = 1.0
INTERNAL: Final = 500
BOTH_DONE: Final = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}

log = structlog.get_logger()


class HttpConnection:
    """The stream is closed by whoever opened it."""

    def __init__(self, app: App, stream: trio.SocketStream, settings: HttpSettings) -> None:
        """Raises OSError if the client has left already."""
        self._app, self._stream = app, stream
        self._idle_s, self._send_s = settings.idle_deadline_ms / 1_000, settings.send_deadline_ms / 1_000
        self._scope = {
            "type": "http",
            "asgi": ASGI,
            "scheme": "http",
            "root_path": "",
            "client": stream.socket.getpeername()[:2],
            "server": stream.socket.getsockname()[:2],
            "extensions": {},
        }
        self._patience = trio.CancelScope()
        self._idle = True
        self._refusal = INTERNAL
        self.protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=settings.head_limit_bytes)
        self.ending = False

    def end(self) -> None:
        """Take no further request: at once if there is none at work, else after its answer."""
        self.ending = True
        if self._idle:
            self._patience.cancel()

    async def run(self) -> None:
        """Until either side has had enough. Raises nothing but Cancelled."""
        with self._patience:
            while not self.ending and (request := await self._next_request()) is not None:
                await self._answer(request)
                if self.protocol.states != BOTH_DONE:
                    break
                self.protocol.start_next_cycle()
            await self._part()

    def event(self) -> Any:
        try:
            event = self.protocol.next_event()
        except h11.RemoteProtocolError as error:
            self._refusal = error.error_status_hint
            return None
        return None if isinstance(event, h11.ConnectionClosed) else event

    async def more(self) -> None:
        if self.protocol.they_are_waiting_for_100_continue:
            await self.send(self.protocol.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        try:
            self.protocol.receive_data(await self._stream.receive_some(RECEIVE_BYTES))
        except trio.BrokenResourceError:
            self.protocol.receive_data(b"")

    async def send(self, data: bytes) -> None:
        self._patience.deadline = trio.current_time() + self._send_s
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self.ending = True
        self._patience.deadline = math.inf

    async def _next_request(self) -> h11.Request | None:
        """None if there will be none."""
        self._idle, self._patience.deadline = True, trio.current_time() + self._idle_s
        while (event := self.event()) is h11.NEED_DATA:
            await self.more()
        self._idle, self._patience.deadline = False, math.inf
        if isinstance(event, h11.Request):
            return event
        await self._refuse()
        return None

    async def _answer(self, request: h11.Request) -> None:
        try:
            await Exchange(self, self._scope, request).run(self._app)
        except Exception:
            log.exception("http.app_failed")
        await self._refuse()

    async def _refuse(self) -> None:
        """If there was no answer yet: one without words, to what is no HTTP, or instead of an app that has none."""
        if self.protocol.our_state in {h11.IDLE, h11.SEND_RESPONSE} and self.protocol.their_state is not h11.CLOSED:
            head = h11.Response(status_code=self._refusal, headers=[(b"content-length", b"0"), date(), CLOSE])
            await self.send((self.protocol.send(head) or b"") + (self.protocol.send(h11.EndOfMessage()) or b""))

    async def _part(self) -> None:
        """To close while the client still sends would throw away the answer that it has not read."""
        if self.protocol.their_state in {h11.SEND_BODY, h11.ERROR}:
            self._patience.deadline = trio.current_time() + LINGER_S
            with contextlib.suppress(trio.BrokenResourceError):
                await self._stream.send_eof()
                while await self._stream.receive_some(RECEIVE_BYTES):
                    pass
