"""A relay on loopback between a driver and a server, whose connections can fall silent without being closed."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

import trio


class Relay:
    """To the server with a Unix socket at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections: list[Connection] = []
        self.url = ""

    def mute(self, word: bytes) -> None:
        """From now on nothing passes on those of the present connections on which a client has said `word`."""
        for connection in self._connections:
            if word in connection.said:
                connection.muted = True

    async def serve(self, client: trio.SocketStream) -> None:
        connection = Connection()
        self._connections.append(connection)
        server = await trio.open_unix_socket(self._path)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(connection.pass_on, client, server, nursery.cancel_scope)
            nursery.start_soon(connection.pass_on, server, client, nursery.cancel_scope)


class Connection:
    def __init__(self) -> None:
        self.said = b""
        self.muted = False

    async def pass_on(self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                self.said += data
                if not self.muted:
                    await target.send_all(data)
        scope.cancel()


@contextlib.asynccontextmanager
async def opened_relay(url: str) -> AsyncIterator[Relay]:
    """`url` names a Unix socket, as that of the embedded Valkey does."""
    relay = Relay(unquote(urlsplit(url).path))
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay.url = f"redis://127.0.0.1:{listener.socket.getsockname()[1]}/0"
        nursery.start_soon(trio.serve_listeners, relay.serve, [listener])
        yield relay
        nursery.cancel_scope.cancel()
