"""What is due by the clock on an open connection: pings, silence, a client that takes nothing, the end of its token.

Times are Trio's.
"""

import socket
import time
from typing import Final

import trio

from gameserver.net.edge import Edge
from gameserver.net.frame_writer import FrameWriter
from gameserver.net.handshake import Admission
from gameserver.protocol.close_codes import CloseCode

PING: Final = b"\x89\x00"


class Liveness(FrameWriter):
    __slots__ = ("_pinged_at", "expires_at", "received_at")

    def __init__(self, sock: socket.socket, edge: Edge) -> None:
        super().__init__(sock, edge)
        self.received_at = self._pinged_at = self.expires_at = trio.current_time()

    def admit(self, admission: Admission) -> None:
        self.expires_at = trio.current_time() + max(0.0, admission.token_expires_at - time.time())

    def look_after(self, now: float) -> None:
        """Say, or end, what is due."""
        settings = self.edge.settings
        silent_ms = (now - self.received_at) * 1000
        if now >= self.expires_at:
            self.close(CloseCode.TOKEN_EXPIRED)
        elif now >= self.too_slow_at():
            self.too_slow()
        elif silent_ms >= settings.idle_deadline_ms:
            self.close(CloseCode.IDLE)
        elif silent_ms >= settings.ping_interval_ms <= (now - self._pinged_at) * 1000:
            self._pinged_at = now
            self.send(PING)

    def due_at(self) -> float:
        """Nothing is due before."""
        settings = self.edge.settings
        ping_at = max(self.received_at, self._pinged_at) + settings.ping_interval_ms / 1000
        idle_at = self.received_at + settings.idle_deadline_ms / 1000
        return min(self.expires_at, ping_at, idle_at, self.too_slow_at())
