"""Every way to lose a connection, in one table. 4000 to 4499 mean come back, 4500 to 4999 mean do not."""

from enum import Enum
from typing import Final


class CloseCode(Enum):
    """Code on the wire, and the reason that goes with it."""

    NORMAL = 1000, "bye"
    GOING_AWAY = 1001, "the node is stopping"
    PROTOCOL_ERROR = 1002, "protocol error"
    UNSUPPORTED_DATA = 1003, "messages are text frames"
    INVALID_TEXT = 1007, "text is not UTF-8"
    MESSAGE_TOO_BIG = 1009, "message too large"

    TOKEN_EXPIRED = 4000, "token expired; get a new one and come back"
    SLOW_CONSUMER = 4001, "too slow to take what was sent; come back and resume"
    IDLE = 4002, "silent for too long"
    FLOOD = 4003, "too many messages; come back later"
    DISCONNECTED = 4004, "disconnected by an operator"
    MISSED_EVENTS = 4005, "some events got lost on our side; come back and resume"

    SESSION_REVOKED = 4500, "the session was revoked"

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]


VIOLATIONS: Final = {code.code: code for code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_TEXT)}
"""What a parser of frames may complain of, by its code on the wire."""
