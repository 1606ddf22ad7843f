"""A small JSON client for the game's HTTP API: a few kept-alive connections over h11, one request at a time on each.

Every request that changes something carries an Idempotency-Key, so a request whose connection broke can be sent again:
once, when it was a kept connection, which the server may have closed just then.
"""

import ssl
import uuid
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import h11
import msgspec
import trio
from attrs import frozen

from gameserver.client.errors import Unreachable
from gameserver.client.limits import HttpLimits
from gameserver.codec import decode, encode
from gameserver.errors import Refused

SAFE_METHODS: Final = ("GET", "HEAD")
RECEIVE_BYTES: Final = 65_536


@frozen
class Answer:
    status: int
    body: bytes


class HttpClient:
    """For one server, `url`; close it with `async with`. Requests beyond the number of connections wait for their turn.

    Requests return the decoded JSON body, None if it is empty. They raise Refused with the code that the server gave
    (`deadline_exceeded` also when it gave no answer in time), or Unreachable.
    """

    def __init__(self, url: str, limits: HttpLimits | None = None) -> None:
        self.url, self._limits = url.rstrip("/"), limits or HttpLimits()
        self._turns = trio.CapacityLimiter(self._limits.connections)
        self._idle: deque[_Wire] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)

    async def get(self, path: str, *, token: str | None = None) -> Any:
        return await self.request("GET", path, token=token)

    async def post(self, path: str, body: Any = None, *, token: str | None = None, key: str | None = None) -> Any:
        return await self.request("POST", path, body, token=token, key=key)

    async def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, key: str | None = None
    ) -> Any:
        """`key` is the Idempotency-Key; a random one if not given."""
        data = b"" if body is None else encode(body)
        head = h11.Request(method=method, target=path, headers=self._headers(method, data, token, key))
        try:
            with trio.fail_after(self._limits.deadline_ms / 1000):
                async with self._turns:
                    answer = await self._exchange(head, data)
        except trio.TooSlowError:
            raise Refused("deadline_exceeded", f"no answer from {self.url} in time") from None
        return _read(answer)

    def _headers(self, method: str, data: bytes, token: str | None, key: str | None) -> list[tuple[str, str]]:
        headers = [("Host", urlsplit(self.url).netloc), ("Content-Length", str(len(data)))]
        if data:
            headers.append(("Content-Type", "application/json"))
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        if method not in SAFE_METHODS:
            headers.append(("Idempotency-Key", key or str(uuid.uuid4())))
        return headers

    async def _exchange(self, head: h11.Request, data: bytes) -> Answer:
        if self._idle:
            with suppress(Unreachable):  # the kept connection had gone stale: once more, over a new one
                return await self._exchange_over(self._idle.pop(), head, data)
        return await self._exchange_over(await self._connect(), head, data)

    async def _exchange_over(self, wire: "_Wire", head: h11.Request, data: bytes) -> Answer:
        try:
            answer = await wire.exchange(head, data, self._limits.answer_bytes)
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            raise Unreachable(f"{self.url} broke off: {error}") from error
        finally:
            if wire.reusable():
                self._idle.append(wire)
            else:
                await trio.aclose_forcefully(wire.stream)
        return answer

    async def _connect(self) -> "_Wire":
        url = urlsplit(self.url)
        host, secure = url.hostname or "", url.scheme == "https"
        port = url.port or (443 if secure else 80)
        try:
            if secure:
                context = ssl.create_default_context()
                return _Wire(
                    await trio.open_ssl_over_tcp_stream(host, port, https_compatible=True, ssl_context=context)
                )
            return _Wire(await trio.open_tcp_stream(host, port))
        except OSError as error:
            raise Unreachable(f"nothing answers at {self.url}") from error


class _Wire:
    """One connection and the state of its protocol."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT)

    async def exchange(self, head: h11.Request, data: bytes, limit_bytes: int) -> Answer:
        """Raises OSError, trio.BrokenResourceError, h11.RemoteProtocolError, Unreachable (an answer too large)."""
        parts = (self._http.send(head), self._http.send(h11.Data(data=data)), self._http.send(h11.EndOfMessage()))
        await self.stream.send_all(b"".join(part or b"" for part in parts))
        status, body = 0, bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > limit_bytes:
                    raise Unreachable(f"the answer has more than {limit_bytes} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return self._finished(status, bytes(body))

    def reusable(self) -> bool:
        return self._http.our_state is h11.IDLE and self._http.their_state is h11.IDLE

    def _finished(self, status: int, body: bytes) -> Answer:
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return Answer(status, body)

    async def _next_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(bytes(await self.stream.receive_some(RECEIVE_BYTES)))
        if isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed without an answer")
        return event


def refused_from(status: int, body: bytes) -> Refused:
    """The refusal that a problem+json body describes."""
    try:
        problem = decode(body)
        return Refused(
            problem["code"],
            problem.get("detail"),
            retry_after_ms=problem.get("retry_after_ms"),
            websocket_url=problem.get("websocket_url"),
        )
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return Refused("internal", f"HTTP {status}, without an explanation")


def _read(answer: Answer) -> Any:
    if answer.status >= 400:
        raise refused_from(answer.status, answer.body)
    try:
        return decode(answer.body) if answer.body else None
    except msgspec.DecodeError as error:
        raise Unreachable("the answer is no JSON: is this the game?") from error
