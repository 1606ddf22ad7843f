"""The opening handshake of a WebSocket, for a socket that is read by others afterwards (RFC 6455 §4.1)."""

import base64
import hashlib
import os
import socket
from typing import Final
from urllib.parse import urlsplit

import h11
import trio

from gameserver.client.errors import Unreachable
from gameserver.client.http import refused_from
from loadtest.limits import PROBE_DEADLINE_S

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
RECEIVE_BYTES: Final = 4_096
BODY_LIMIT_BYTES: Final = 65_536
SWITCHING: Final = 101


async def open_websocket(url: str, token: str, deadline_ms: int) -> tuple[socket.socket, bytes]:
    """The connected socket, not blocking, and what the server has sent on it already. Raises Refused, Unreachable."""
    parts = urlsplit(url)
    try:
        with trio.fail_after(deadline_ms / 1000):
            stream = await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)
            try:
                first = await _shake_hands(stream, parts.netloc, f"{parts.path or '/'}?{parts.query}", token)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
    except (OSError, trio.TooSlowError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise Unreachable(f"no WebSocket answers at {url}") from error
    return _taken_out(stream), first


async def answers(url: str) -> bool:
    """Whether anybody listens there."""
    parts = urlsplit(url)
    try:
        with trio.fail_after(PROBE_DEADLINE_S):
            stream = await trio.open_tcp_stream(
                parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
            )
    except (OSError, trio.TooSlowError):
        return False
    await stream.aclose()
    return True


async def _shake_hands(stream: trio.SocketStream, host: str, target: str, token: str) -> bytes:
    http, key = h11.Connection(h11.CLIENT), base64.b64encode(os.urandom(16))
    headers = [
        (b"Host", host.encode()),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", key),
        (b"Authorization", f"Bearer {token}".encode()),
    ]
    request = http.send(h11.Request(method=b"GET", target=target.encode(), headers=headers))
    await stream.send_all((request or b"") + (http.send(h11.EndOfMessage()) or b""))
    answer = await _next_event(http, stream)
    if isinstance(answer, h11.InformationalResponse) and answer.status_code == SWITCHING:
        if (b"sec-websocket-accept", _accepted(key)) not in list(answer.headers):
            raise h11.RemoteProtocolError("Sec-WebSocket-Accept does not fit")
        return bytes(http.trailing_data[0])
    if not isinstance(answer, h11.Response):
        raise h11.RemoteProtocolError("closed without an answer")
    raise refused_from(answer.status_code, await _body(http, stream))


async def _body(http: h11.Connection, stream: trio.SocketStream) -> bytes:
    body = b""
    while isinstance(event := await _next_event(http, stream), h11.Data) and len(body) < BODY_LIMIT_BYTES:
        body += bytes(event.data)
    return body


async def _next_event(http: h11.Connection, stream: trio.SocketStream) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
    return event


def _accepted(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())


def _taken_out(stream: trio.SocketStream) -> socket.socket:
    """The ordinary socket under Trio's."""
    held = stream.socket
    sock = socket.socket(held.family, held.type, held.proto, fileno=held.detach())
    sock.settimeout(0)
    return sock
