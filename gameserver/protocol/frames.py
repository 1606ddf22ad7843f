"""WebSocket frames from server to client: unmasked, so one encoding serves every receiver (RFC 6455 §5.2)."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

HEADERS_KEPT: Final = 4_096
"""Sizes of which the header is not made again."""


def text_frame(data: bytes) -> bytes:
    """`data`, UTF-8 text, as one final text frame."""
    return _header(len(data)) + data


def text_frames(texts: Iterable[bytes]) -> bytes:
    """Each as a frame of its own, one behind the other."""
    parts: list[bytes] = []
    for data in texts:
        parts += _header(len(data)), data
    return b"".join(parts)


@lru_cache(HEADERS_KEPT)
def _header(size: int) -> bytes:
    if size < 126:
        return bytes((0x81, size))
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")
