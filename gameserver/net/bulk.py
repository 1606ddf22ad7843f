"""What many connections are told together goes to the kernel together, where it lets us (see uring.py).

A `send` costs more than all that led to it, and a good part of that is the way into the kernel and back. Without a ring
each connection sends by itself.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import structlog

from gameserver.config import WebSocketSettings
from gameserver.net.uring import Ring
from gameserver.protocol.session import WRITES_AT_ONCE

TOO_MUCH: Final = 262_144
"""Bytes that no socket takes whose buffer is as small as can be."""

log = structlog.get_logger()


class Writer(Protocol):
    """Of a non-blocking socket, with this descriptor."""

    @property
    def descriptor(self) -> int: ...

    @property
    def closing(self) -> bool: ...

    @property
    def backlog(self) -> bytearray | None: ...

    def send(self, frames: bytes | bytearray) -> None: ...

    def took(self, frames: bytes, result: int) -> None:
        """The kernel took only so many bytes of these frames, or none because of an error (negative, one of errno).
        Never raises."""
        ...


class Bulk:
    """Implements the port of the same name (see protocol/connection.py)."""

    def __init__(self, ring: Ring | None) -> None:
        self._ring = ring

    def send(self, writes: Sequence[tuple[Writer, bytes | bytearray]]) -> None:
        if self._ring is None or len(writes) == 1:
            for writer, frames in writes:
                writer.send(frames)
            return
        writers: list[Writer] = []
        sends: list[tuple[int, bytes]] = []
        for writer, frames in writes:
            # A bytearray could be moved in memory while the kernel reads it.
            if writer.backlog is None and not writer.closing and isinstance(frames, bytes):
                writers.append(writer)
                sends.append((writer.descriptor, frames))
            else:
                writer.send(frames)
        if sends:
            for number, result in self._ring.send(sends):
                writers[number].took(sends[number][1], result)


@contextlib.contextmanager
def open_bulk(settings: WebSocketSettings) -> Iterator[Bulk]:
    """With a ring, if the settings want one and the kernel lets us have it."""
    with contextlib.ExitStack() as stack:
        yield Bulk(_open_ring(stack) if settings.io_uring == "auto" else None)


def _open_ring(stack: contextlib.ExitStack) -> Ring | None:
    try:
        with contextlib.ExitStack() as on_trial:
            ring = on_trial.enter_context(contextlib.closing(Ring(WRITES_AT_ONCE)))
            _try_out(ring)
            stack.push(on_trial.pop_all())
            return ring
    except OSError as error:  # an old kernel, or one that keeps it from us, as it does in most containers
        log.info("websocket.no_io_uring", error=str(error))
        return None


def _try_out(ring: Ring) -> None:
    """Raises OSError if this kernel does not say of each send how much of it was, if that was not all."""
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is: some thousand bytes
        whole, part, none = [_outcome(ring, near, size) for size in (1, TOO_MUCH, 1)]
    if whole != [] or not (len(part) == 1 and 0 < part[0] < TOO_MUCH) or none != [-errno.EAGAIN]:
        raise OSError(errno.ENOSYS, "this kernel's io_uring does not say what it has not sent")


def _outcome(ring: Ring, sock: socket.socket, size: int) -> list[int]:
    return [result for _, result in ring.send([(sock.fileno(), bytes(size))])]
