"""What has to come of a client's bytes, however they are cut: wsproto's parser over whole frames, and our own limit.

wsproto looks at each frame of its own accord and knows no limit; the bytes are cut into frames here, and added up.
"""

from attrs import define, field
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from gameserver.protocol.close_codes import CloseCode

TOO_BIG = CloseCode.MESSAGE_TOO_BIG.code
WORDLESS = 0
"""The close frame of a client that gave no code, and our answer to it."""


@define
class Expected:
    """`outcomes`: the codes with which it may end, None if it may go on. It is one, save where some may look closer
    than others: at half a header, and at a message that is announced to be too long and has not come yet."""

    texts: list = field(factory=list)
    binaries: list = field(factory=list)
    pings: list = field(factory=list)
    outcomes: set = field(factory=set)


def expected(data, limit_bytes):
    reference = _Reference(limit_bytes)
    for head, body, whole in cut(data):
        if reference.take(head, body, whole):
            return reference.expected
    reference.expected.outcomes.add(None)
    return reference.expected


def cut(data):
    """The frames in `data`: their headers (with the mask), payloads, and whether it is all there."""
    at = 0
    while at < len(data):
        size = data[at + 1] & 0x7F if at + 1 < len(data) else 0
        more = {126: 2, 127: 8}.get(size, 0)
        start = at + 2 + more + (4 if at + 1 < len(data) and data[at + 1] & 0x80 else 0)
        if start > len(data) or at + 1 >= len(data):
            yield data[at:], None, False
            return
        size = int.from_bytes(data[at + 2 : at + 2 + more], "big") if more else size
        yield data[at:start], data[start : start + size], start + size <= len(data)
        at = start + size


class _Reference:
    def __init__(self, limit_bytes):
        self.expected = Expected()
        self._limit_bytes = limit_bytes
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._parts = []
        self._announced_bytes = 0

    def take(self, head, body, whole):
        """Whether it ends here."""
        outcomes = self.expected.outcomes
        if head[0] & 0x0F < 3 and body is not None:
            self._announced_bytes += _announced(head)
        if self._announced_bytes > self._limit_bytes:
            outcomes.add(TOO_BIG)
        ended = self._feed(head)
        if ended and body is None:
            outcomes.add(None)
        ended = ended or (body is not None and self._feed(body))
        if ended or not outcomes:
            return ended
        # Whoever believes what is announced has ended; who counts what comes goes on, until the message is whole.
        return whole and self._announced_bytes == 0

    def _feed(self, data):
        self._protocol.receive_bytes(data)
        try:
            frames = list(self._protocol.received_frames())
        except ParseFailed as failed:
            self.expected.outcomes.add(int(failed.code))
            return True
        for frame in frames:
            self._note(frame)
        return any(frame.opcode is Opcode.CLOSE for frame in frames)

    def _note(self, frame):
        if frame.opcode is Opcode.CLOSE:
            code = int(frame.payload[0])
            self.expected.outcomes.add(WORDLESS if code == 1005 else code)
        elif frame.opcode is Opcode.PING:
            self.expected.pings.append(bytes(frame.payload))
        elif frame.opcode is not Opcode.PONG:
            self._parts.append(frame.payload)
            if frame.message_finished:
                self._finish(frame.opcode)

    def _finish(self, opcode):
        parts, self._parts, self._announced_bytes = self._parts, [], 0
        if self.expected.outcomes:
            return
        if opcode is Opcode.TEXT:
            self.expected.texts.append("".join(parts).encode())
        else:
            self.expected.binaries.append(b"".join(parts))


def _announced(head):
    size = head[1] & 0x7F
    more = {126: 2, 127: 8}.get(size, 0)
    return int.from_bytes(head[2 : 2 + more], "big") if more else size
