"""The transports that can carry the WebSocket edge; all of them keep what tests/net says of an edge."""

import sys
from typing import Final, Protocol

import trio

from gameserver.config import WebSocketSettings
from gameserver.net.edge import EdgeCounters, OpenEndpoint
from gameserver.net.handshake import Admit
from gameserver.net.trio_websocket_edge import serve_trio_websocket


class ServeWebSocket(Protocol):
    async def __call__(
        self,
        settings: WebSocketSettings,
        admit: Admit,
        open_endpoint: OpenEndpoint,
        counters: EdgeCounters,
        *,
        task_status: trio.TaskStatus[int] = ...,
    ) -> None:
        """Serve until cancelled; reports the port. Raises StartError if the address cannot be had."""
        ...


TRANSPORTS: Final[dict[str, ServeWebSocket]] = {"trio-websocket": serve_trio_websocket}

if sys.platform == "linux":
    from gameserver.net.hub import serve_hub

    TRANSPORTS["hub"] = serve_hub
