"""A stream that says when the other side has hung up.

trio_websocket waits for the answer to a handshake even after the connection has ended.
"""

from collections.abc import Callable

import trio


class HungUp(trio.abc.Stream):
    """`stream`, which calls `on_end` once nothing more can come."""

    def __init__(self, stream: trio.abc.Stream, on_end: Callable[[], None]) -> None:
        self._stream, self._on_end = stream, on_end

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = b""
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        finally:
            if not data:
                self._on_end()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()
