"""What every WebSocket edge has in common, whatever carries it: whom it lets in, what it counts, where it listens."""

import errno
from collections.abc import Callable

import trio
from attrs import define, field

from gameserver.config import WebSocketSettings
from gameserver.errors import Refused, StartError
from gameserver.net.bulk import Bulk
from gameserver.net.handshake import Admission, Admit, Opening
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.connection import Connection, Endpoint

OpenEndpoint = Callable[[Admission, Connection], Endpoint]

CLOSE_OPCODE = 0x88


@define
class EdgeCounters:
    """What the edge did since its start (`*_total`), and what it holds now. A failed handshake is any that did not end
    in a connection; the refused ones, which were told why, are among them."""

    connections: int = 0
    bytes_buffered: int = 0
    connections_total: int = 0
    handshakes_refused_total: int = 0
    handshakes_failed_total: int = 0
    slow_consumers_total: int = 0


@define
class Edge:
    """What all connections of an edge share."""

    settings: WebSocketSettings
    open_endpoint: OpenEndpoint
    counters: EdgeCounters
    _admit: Admit = field(alias="admit")
    bulk: Bulk
    stopping: bool = False

    @property
    def full(self) -> bool:
        """Even those that are being refused take up a place, and there is an end to those places, too."""
        return self.counters.connections >= 2 * self.settings.connections_limit

    def admit(self, opening: Opening) -> Admission:
        """Raises Refused."""
        if self.stopping:
            raise Refused("node_stopping")
        if self.counters.connections > self.settings.connections_limit:
            raise Refused("too_many_connections")
        return self._admit(opening)

    @property
    def tick_s(self) -> float:
        """How often somebody has to look at the clock so that no deadline of a connection is missed by much."""
        settings = self.settings
        shortest_ms = min(
            settings.ping_interval_ms,
            settings.idle_deadline_ms,
            settings.slow_consumer_deadline_ms,
            settings.handshake_deadline_ms,
            settings.close_deadline_ms,
        )
        return max(0.02, min(1.0, shortest_ms / 4000))


async def listen(settings: WebSocketSettings) -> list[trio.SocketListener]:
    """Raises StartError."""
    try:
        return await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            advice = "stop what listens there, or set GAMESERVER_WEBSOCKET_PORT to another port"
            raise StartError(f"{address} is taken; {advice}") from error
        advice = "check GAMESERVER_WEBSOCKET_HOST and GAMESERVER_WEBSOCKET_PORT"
        raise StartError(f"cannot listen on {address} ({error.strerror or error}); {advice}") from error


def close_frame(code: CloseCode) -> bytes:
    payload = code.code.to_bytes(2, "big") + code.reason.encode()
    assert len(payload) < 126
    return bytes((CLOSE_OPCODE, len(payload))) + payload
