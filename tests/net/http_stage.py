"""An HTTP server on a real port, with apps that are as simple as a test needs, and clients that hide nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio
from attrs import frozen

from gameserver.config import HttpSettings
from gameserver.net.serving import HttpCounters, serve

App = Callable[[Any, Any, Any], Awaitable[None]]

DEADLINE_S = 5
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
PATIENT = HttpSettings(idle_deadline_ms=60_000, send_deadline_ms=60_000)
LARGE = 20_000_000


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    size = str(len(body)).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", size)]})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> bytes | None:
    """None if the client does not send all of it."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await read(receive)
    if body is not None:
        await answer(send, scope["path"].encode() + b" " + body)


async def refusing(_: Any, __: Any, send: Any) -> None:
    await answer(send, b"no", 413)


async def large(_: Any, __: Any, send: Any) -> None:
    await answer(send, b"x" * LARGE)


class Slow:
    """At work until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.ended = trio.Event(), trio.Event(), trio.Event()

    async def __call__(self, _: Any, __: Any, send: Any) -> None:
        self.begun.set()
        await self.go_on.wait()
        await answer(send, b"late")
        self.ended.set()


@frozen
class Stage:
    port: int
    counters: HttpCounters
    stop: trio.Event

    @asynccontextmanager
    async def client(self) -> AsyncIterator[trio.SocketStream]:
        with trio.fail_after(DEADLINE_S):
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                yield stream

    async def ask(self, request: bytes) -> bytes:
        """All that comes until the server closes."""
        async with self.client() as stream:
            await stream.send_all(request)
            return await rest(stream)

    async def until_connections(self, count: int) -> None:
        with trio.fail_after(DEADLINE_S):
            while self.counters.connections != count:
                await trio.sleep(0.005)


@asynccontextmanager
async def served(app: App, settings: HttpSettings = PATIENT) -> AsyncIterator[Stage]:
    stop, counters = trio.Event(), HttpCounters()
    async with trio.open_nursery() as nursery:
        start = partial(serve, app, settings, "127.0.0.1", 0, counters, stop=stop, setting="GAMESERVER_HTTP_PORT")
        yield Stage(await nursery.start(start), counters, stop)
        await Stage(0, counters, stop).until_connections(0)
        nursery.cancel_scope.cancel()


async def rest(stream: trio.SocketStream) -> bytes:
    """What there is to read before the connection ends, in whichever way."""
    received = bytearray()
    with suppress(trio.BrokenResourceError):
        async for part in stream:
            received += part
    return bytes(received)


async def until(stream: trio.SocketStream, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = await stream.receive_some()
        assert part, f"closed after {received!r}"
        received += part
    return received
