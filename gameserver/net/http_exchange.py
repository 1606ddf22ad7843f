"""One request and its answer: ASGI towards the app, h11 towards the connection.

Nobody listens to the client while the app is at work: whoever leaves meanwhile is not missed before the answer is sent,
so that a request that was begun is also ended. An app that has answered need not have read the body: what is left of it
is not waited for, and the connection ends with the answer.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import unquote

import h11
import trio

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI app that serves HTTP."""

ASGI: Final = {"version": "3.0", "spec_version": "2.1"}
CLOSE: Final = (b"connection", b"close")
WITHOUT_BODY: Final = frozenset({204, 304})
FLUSH_BYTES: Final = 65_536
DISCONNECT: Final = {"type": "http.disconnect"}


class Connection(Protocol):
    """What an exchange needs of its connection."""

    @property
    def protocol(self) -> h11.Connection: ...

    @property
    def ending(self) -> bool:
        """There will be no further request."""
        ...

    def event(self) -> Any:
        """What h11 makes of the bytes that are here; None if the client left, or sends what is no HTTP."""
        ...

    async def more(self) -> None:
        """Waits until there are more bytes, or the client has left."""
        ...

    async def send(self, data: bytes) -> None:
        """Never raises: what is sent to a client that left is lost."""
        ...


class Exchange:
    """`scope` is what ASGI wants to know of the connection."""

    def __init__(self, connection: Connection, scope: Mapping[str, Any], request: h11.Request) -> None:
        self._connection, self._protocol = connection, connection.protocol
        self._scope = {**scope, **_asked(request)}
        self._body_allowed = request.method != b"HEAD"
        self._body_asked_for = False
        self._event: Any = h11.NEED_DATA
        self._waiting = b""

    async def run(self, app: App) -> None:
        """Raises what the app raises."""
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Mapping[str, Any]:
        """The first time at once: what has come of the body together with the headers."""
        if self._event is not h11.NEED_DATA:
            await trio.sleep_forever()  # for an app that wants to hear of a disconnect: it does not
        if self._body_asked_for:
            await self._connection.more()
        self._body_asked_for = True
        body = self._read_body()
        if self._event is None:
            return DISCONNECT
        return {"type": "http.request", "body": body, "more_body": self._event is h11.NEED_DATA}

    def _read_body(self) -> bytes:
        """What is here of it; `_event` is then NEED_DATA, EndOfMessage, or None for a client that is gone."""
        body = b""
        while isinstance(event := self._connection.event(), h11.Data):
            body += event.data
        self._event = event
        return body

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._waiting = self._head(message["status"], message["headers"])
            return
        body = message.get("body", b"")
        if body and self._body_allowed:
            self._waiting += self._protocol.send(h11.Data(data=body)) or b""
        more = message.get("more_body", False)
        if not more:
            self._waiting += self._protocol.send(h11.EndOfMessage()) or b""
        if not more or len(self._waiting) > FLUSH_BYTES:
            ready, self._waiting = self._waiting, b""
            await self._connection.send(ready)

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        self._body_allowed = self._body_allowed and status not in WITHOUT_BODY
        ending = self._connection.ending or self._body_is_missing()
        added = (date(), CLOSE) if ending else (date(),)
        return self._protocol.send(h11.Response(status_code=status, headers=[*headers, *added])) or b""

    def _body_is_missing(self) -> bool:
        """Whether some of the body has still to come; what is here of it is thrown away."""
        if self._event is h11.NEED_DATA:
            self._read_body()
        return not isinstance(self._event, h11.EndOfMessage)


def _asked(request: h11.Request) -> dict[str, Any]:
    path, _, query = request.target.partition(b"?")
    return {
        "http_version": request.http_version.decode(),
        "method": request.method.decode(),
        "path": unquote(path.decode()),
        "raw_path": path,
        "query_string": query,
        "headers": list(request.headers),
    }


def date() -> tuple[bytes, bytes]:
    """The header that every answer has."""
    return _date(int(time.time()))


@lru_cache(maxsize=1)
def _date(at_s: int) -> tuple[bytes, bytes]:
    return b"date", formatdate(at_s, usegmt=True).encode()
