"""What stands in for a node behind the balancer: over HTTP and WebSocket it says who it is, and it can die."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from attrs import Factory, define
from trio_websocket import ConnectionClosed, wrap_server_stream

LOOPBACK = "127.0.0.1"


@define(eq=False)
class Backend:
    """`seen` has the method and the path of every HTTP request. While it is mute it reads them, and hangs up."""

    name: str
    http_port: int = 0
    websocket_port: int = 0
    seen: list[tuple[str, str]] = Factory(list)
    mute: bool = False
    _life: trio.CancelScope = Factory(trio.CancelScope)
    _dead: trio.Event = Factory(trio.Event)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self._life:
            async with trio.open_nursery() as nursery:
                self.http_port, self.websocket_port = [
                    (await nursery.start(partial(trio.serve_tcp, serve, 0, host=LOOPBACK)))[0].socket.getsockname()[1]
                    for serve in (self._answer, self._talk)
                ]
                task_status.started()
        self._dead.set()

    async def die(self) -> None:
        """Its ports refuse from now on, and its connections are broken."""
        self._life.cancel()
        await self._dead.wait()

    async def _answer(self, stream: trio.SocketStream) -> None:
        """One request for each connection; its body may stay unread."""
        head = b""
        while b"\r\n\r\n" not in head:
            received = await stream.receive_some()
            if not received:
                return
            head += received
        method, path, _ = head.decode("latin-1").split(" ", 2)
        self.seen.append((method, path))
        if not self.mute:
            body = json.dumps({"name": self.name}).encode()
            length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
            await stream.send_all(b"HTTP/1.1 200 OK\r\n" + length + body)

    async def _talk(self, stream: trio.SocketStream) -> None:
        """Says what it was asked, and then what it is told."""
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            websocket = await request.accept()
            token = dict(request.headers).get(b"authorization", b"").decode()
            await websocket.send_message(json.dumps({"name": self.name, "path": request.path, "token": token}))
            with suppress(ConnectionClosed):
                while True:
                    await websocket.send_message(await websocket.get_message())


@asynccontextmanager
async def backends() -> AsyncIterator[tuple[Backend, Backend]]:
    both = Backend("first"), Backend("second")
    async with trio.open_nursery() as nursery:
        for each in both:
            await nursery.start(each.run)
        yield both
        nursery.cancel_scope.cancel()
