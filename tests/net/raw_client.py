"""A WebSocket client that hides nothing: it sees every frame, and may do what no decent client does."""

import socket
import struct
from contextlib import asynccontextmanager

import trio

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"
RESET = struct.pack("ii", 1, 0)


def request(target="/ws", *headers):
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: game",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def masked(opcode, payload, *, fin=True, reserved=0):
    """A client's frame; the opcode and the reserved bits (0 to 7) may be any."""
    size = len(payload)
    key = (MASK * (size // 4 + 1))[:size]
    payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return header(fin << 7 | reserved << 4 | opcode, size) + MASK + payload


def header(first, size):
    """The beginning of a masked frame, up to its mask: nothing of what it announces has to follow."""
    if size < 126:
        return bytes((first, 0x80 | size))
    if size < 65_536:
        return bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    return bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")


def goodbye(code=1000, reason=b""):
    return masked(8, code.to_bytes(2, "big") + reason)


def text(message):
    return masked(1, message.encode())


class RawClient:
    def __init__(self, stream):
        self.stream = stream
        self.buffer = bytearray()

    async def send(self, data):
        await self.stream.send_all(data)

    async def half_close(self):
        """Say that nothing more will come, and go on reading."""
        await self.stream.send_eof()

    async def reset(self):
        """Hang up without a word, as a machine that was switched off, once it is back."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await self.stream.aclose()

    async def _more(self):
        data = await self.stream.receive_some(65_536)
        if not data:
            raise EOFError
        self.buffer += data

    async def _take(self, size):
        while len(self.buffer) < size:
            await self._more()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def answer(self):
        """Status, headers and body of the answer to the handshake."""
        while b"\r\n\r\n" not in self.buffer:
            await self._more()
        head, _, _ = bytes(self.buffer).partition(b"\r\n\r\n")
        del self.buffer[: len(head) + 4]
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._take(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def frame(self):
        """Opcode and payload of the next frame; fails unless it is whole, final and unmasked. EOFError at the end."""
        first, second = await self._take(2)
        assert first & 0xF0 == 0x80, f"not a final frame, or not a frame at all: {first:#x}"
        assert first & 0x0F in (1, 2, 8, 9, 10), f"no such opcode: {first:#x}"
        assert second & 0x80 == 0
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._take(2 if size == 126 else 8), "big")
        return first & 0x0F, await self._take(size)

    async def close_code(self):
        """The code of the close frame, which must be the last frame; None without one. Reads to the end: once it has
        seen the close frame, it says that nothing more will come from its side, either."""
        code = None
        try:
            while True:
                opcode, payload = await self.frame()
                assert code is None, "something came after the close frame"
                if opcode == 8:
                    code = int.from_bytes(payload[:2], "big")
                    await self.half_close()
        except (EOFError, trio.BrokenResourceError):
            return code


@asynccontextmanager
async def connected(port, target="/ws", *headers, receive_buffer=None, handshake=True):
    """A raw client; after a successful handshake, unless told otherwise."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    async with trio.SocketStream(sock) as stream:
        await sock.connect(("127.0.0.1", port))
        client = RawClient(stream)
        if handshake:
            await client.send(request(target, *headers))
            status, _, body = await client.answer()
            assert status == 101, body
        yield client
