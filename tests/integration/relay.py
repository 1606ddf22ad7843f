"""A relay between a driver and a server, whose connections can be cut, or fall silent in all the ways of a network."""

import contextlib
import ctypes
import math
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from urllib.parse import parse_qs, quote, unquote, urlsplit

import trio

POSTGRES_SOCKET = ".s.PGSQL.5432"
SO_ATTACH_FILTER = 26
LET_NOTHING_IN = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A socket filter of one instruction: nothing is left of any packet."""


class Relay:
    """`url` leads through it. A silent connection stays open at the server when its client has gone."""

    def __init__(self, reach: Callable[[], Awaitable[trio.SocketStream]]) -> None:
        self._reach = reach
        self._connections: list[Connection] = []
        self._is_cut = False
        self.url = ""
        self.withheld = b""
        self.hears_bytes = math.inf
        self.stalled = trio.Event()

    def cut(self) -> None:
        """The clients lose their connections, and each new one at once; the server does not notice."""
        self._is_cut = True
        for connection in self._connections:
            connection.silent = True
            connection.client.socket.shutdown(trio.socket.SHUT_RDWR)

    def mute(self, word: bytes) -> None:
        """From now on nothing passes on those of the present connections on which a client has said `word`."""
        for connection in self._connections:
            if word in connection.said:
                connection.silent = True

    def heard(self, word: bytes) -> int:
        """On how many connections a client has said it so far."""
        return sum(word in connection.said for connection in self._connections)

    def withhold(self, ending: bytes) -> None:
        """When a client says something that ends so, the server hears all but the ending; then it is silent there."""
        self.withheld = ending

    def stall(self, after_bytes: int) -> None:
        """A client that says more than that is listened to no further; then `stalled` is set."""
        self.hears_bytes = after_bytes

    def deafen(self) -> None:
        """On the present connections nobody reads any more what the server says."""
        for connection in self._connections:
            connection.deaf = True

    def vanish(self) -> None:
        """The present connections' end at the server gets no packet any more, nor refuses it. TCP only."""
        for connection in self._connections:
            connection.silent = True
            let_nothing_in(connection.server)

    async def serve(self, client: trio.SocketStream) -> None:
        async with client:
            if not self._is_cut:
                async with await self._reach() as server:
                    connection = Connection(self, client, server)
                    self._connections.append(connection)
                    try:
                        await connection.run()
                    finally:
                        self._connections.remove(connection)


class Connection:
    def __init__(self, relay: Relay, client: trio.SocketStream, server: trio.SocketStream) -> None:
        self._relay, self.client, self.server = relay, client, server
        self._scope = trio.CancelScope()
        self.said = b""
        self.silent = self.deaf = False

    async def run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, self._hear, self.server)
                nursery.start_soon(self._pass_on, self._answer, self.client)

    async def _pass_on(self, source: Callable[[], Awaitable[bytes]], target: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source():
                if not self.silent:
                    await target.send_all(data)
        if self.silent or self.deaf:
            await trio.sleep_forever()
        self._scope.cancel()

    async def _hear(self) -> bytes:
        data = await self.client.receive_some()
        self.said += data
        if len(self.said) > self._relay.hears_bytes:
            self._relay.stalled.set()
            await trio.sleep_forever()
        withheld = self._relay.withheld
        if withheld and data.endswith(withheld):
            await self.server.send_all(data.removesuffix(withheld))
            self.silent = True
        return bytes(data)

    async def _answer(self) -> bytes:
        if self.deaf:
            await trio.sleep_forever()
        return bytes(await self.server.receive_some())


def let_nothing_in(stream: trio.SocketStream) -> None:
    instruction = ctypes.create_string_buffer(LET_NOTHING_IN)
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    stream.setsockopt(trio.socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@contextlib.asynccontextmanager
async def opened_relay(url: str) -> AsyncIterator[Relay]:
    """To Redis or PostgreSQL at `url`: on a Unix socket, as those of the embedded ones are, or on a TCP port."""
    relay = Relay(way_to(url))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        listener, relay.url = await (postgres_front(url, folder) if "postgresql:" in url else redis_front())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, relay.serve, [listener])
            yield relay
            nursery.cancel_scope.cancel()


def way_to(url: str) -> Callable[[], Awaitable[trio.SocketStream]]:
    parts = urlsplit(url)
    if parts.port:
        return partial(trio.open_tcp_stream, parts.hostname or "", parts.port)
    if parts.scheme == "unix":
        return partial(trio.open_unix_socket, unquote(parts.path))
    return partial(trio.open_unix_socket, f"{parse_qs(parts.query)['host'][0]}/{POSTGRES_SOCKET}")


async def redis_front() -> tuple[trio.SocketListener, str]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listener, f"redis://127.0.0.1:{listener.socket.getsockname()[1]}/0"


async def postgres_front(url: str, folder: str) -> tuple[trio.SocketListener, str]:
    """On a Unix socket, to which drivers speak without asking for TLS first."""
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(f"{folder}/{POSTGRES_SOCKET}")
    listening.listen()
    parts = urlsplit(url)._replace(netloc="postgres@", query=f"host={quote(folder, safe='')}")
    return trio.SocketListener(listening), parts.geturl()
