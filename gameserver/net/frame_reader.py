"""What a client sends, cut into messages; sans-I/O, the reading half of the hub.

Nearly all that comes is text, whole in one short frame, and is taken apart here. Whatever else may come (fragments,
binary, control and long frames, half of a frame, what is no frame at all) goes to wsproto's parser; it gets one frame
at a time, and exists only while such a frame, or a message in fragments, is under way.

Invariants
- Each message is whole, within the limit, and in its order; text is UTF-8.
- After a violation or a close frame, or once the receiver is closing, nothing more is read.
- Between messages nothing is kept here, and of a message under way not more than the limit.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from websockets.speedups import apply_mask
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from gameserver.protocol.close_codes import VIOLATIONS, CloseCode

WHOLE_TEXT: Final = 0x81
PING: Final = 0x89
PONG: Final = 0x8A
MASKED: Final = 0x80
TWO_BYTES: Final = 0xFE
"""The second byte of a masked frame whose length follows in two bytes, because one would not have sufficed."""
SHORTEST: Final = 6
OPCODE: Final = 0xF
LARGEST_DATA_OPCODE: Final = 0x2
LONGEST_CONTROL: Final = 125
LONGEST_HEADER: Final = 14
EMPTY_LIMIT: Final = 1_024
"""Empty fragments of one message: they never reach its limit, and there is an end to them, too."""

OnText = Callable[[bytes], None]


class Receiver(Protocol):
    """Who gets whatever is no text."""

    closing: bool
    """Nothing more shall be read."""

    def on_binary(self, data: bytes) -> None: ...

    def on_ping(self, pong: bytes) -> None:
        """`pong` is the frame that answers it."""
        ...

    def on_goodbye(self, answer: bytes) -> None:
        """The client has sent a close frame; `answer` is the one that answers it."""
        ...

    def on_violation(self, code: CloseCode) -> None: ...


class FrameReader:
    """`limit_bytes`: the longest message."""

    __slots__ = ("_limit_bytes", "_rare")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._rare: _RareFrames | None = None

    def feed(self, data: bytes, on_text: OnText, receiver: Receiver) -> None:
        """Take in what has come, and hand over the messages that are whole by now."""
        start, end = 0, len(data)
        while start < end and not receiver.closing:
            if self._rare is None and start + SHORTEST <= end:
                first, kind = data[start], data[start + 1]
                if kind < TWO_BYTES:
                    at, size, least = start + 6, kind - MASKED, 0
                else:
                    at, size, least = start + 8, int.from_bytes(data[start + 2 : start + 4], "big"), 126
                stop = at + size
                if stop <= end and kind <= TWO_BYTES and least <= size <= self._limit_bytes:
                    if first == WHOLE_TEXT:
                        text = apply_mask(data[at:stop], data[at - 4 : at])
                        if not (text.isascii() or _is_utf8(text)):
                            receiver.on_violation(CloseCode.INVALID_TEXT)
                            return
                        on_text(text)
                        start = stop
                        continue
                    if first in (PING, PONG) and size <= LONGEST_CONTROL:
                        if first == PING:
                            receiver.on_ping(bytes((PONG, size)) + apply_mask(data[at:stop], data[at - 4 : at]))
                        start = stop
                        continue
            rare = self._rare = self._rare or _RareFrames(self._limit_bytes)
            start += rare.feed(data, start, on_text, receiver)
            if not rare.under_way:
                self._rare = None


class _RareFrames:
    __slots__ = ("_empty", "_header", "_limit_bytes", "_message", "_octets", "_owed", "_protocol")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._header = b""
        """Of the present frame, as long as it is not whole."""
        self._owed = 0
        """So much of the present frame has yet to come."""
        self._message: bytearray | None = None
        """As much as has come of it."""
        self._octets = 0
        """So long is it, as far as its frames have said."""
        self._empty = 0

    @property
    def under_way(self) -> bool:
        return bool(self._header or self._owed or self._message is not None)

    def feed(self, data: bytes, start: int, on_text: OnText, receiver: Receiver) -> int:
        """The frame that stands there, or as much of it as is there; gives how much that was."""
        if not self._owed:
            self._begin(data[start : start + LONGEST_HEADER])
        if self._octets > self._limit_bytes or self._empty > EMPTY_LIMIT:
            receiver.on_violation(CloseCode.MESSAGE_TOO_BIG)
            return len(data)
        part = data[start : start + self._owed] if self._owed else data[start:]
        self._owed = max(0, self._owed - len(part))
        self._protocol.receive_bytes(part)
        try:
            for frame in self._protocol.received_frames():
                self._take(frame, on_text, receiver)
        except ParseFailed as failed:
            receiver.on_violation(VIOLATIONS.get(failed.code, CloseCode.PROTOCOL_ERROR))
        return len(part)

    def _begin(self, data: bytes) -> None:
        """A frame begins here, or has begun with a part of its header."""
        known, header = len(self._header), self._header + data
        lengths = _lengths(header)
        if lengths is None:
            self._header = header
            return
        self._header = b""
        self._owed = sum(lengths) - known
        if header[0] & OPCODE <= LARGEST_DATA_OPCODE:
            self._octets += lengths[1]
            self._empty += not lengths[1]

    def _take(self, frame: Frame, on_text: OnText, receiver: Receiver) -> None:
        payload: Any = frame.payload  # text, bytes, or a close frame's code and reason: the opcode says which
        if frame.opcode is Opcode.PING:
            receiver.on_ping(bytes(self._protocol.pong(payload)))
        elif frame.opcode is Opcode.CLOSE:
            receiver.on_goodbye(bytes(self._protocol.close(*payload)))
        elif frame.opcode is not Opcode.PONG:
            message = bytearray() if self._message is None else self._message
            message += payload.encode() if frame.opcode is Opcode.TEXT else payload
            self._message = message
            if frame.message_finished:
                self._message, self._octets, self._empty = None, 0, 0
                (on_text if frame.opcode is Opcode.TEXT else receiver.on_binary)(bytes(message))


def _lengths(data: bytes) -> tuple[int, int] | None:
    """Of a frame: its header, with the mask, and its payload; None if that cannot be seen yet."""
    if len(data) < 2:
        return None
    masked, size = data[1] & MASKED, data[1] & ~MASKED
    more = {126: 2, 127: 8}.get(size, 0)
    header = 2 + more + (4 if masked else 0)
    if len(data) < header:
        return None
    return header, int.from_bytes(data[2 : 2 + more], "big") if more else size


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
