"""An echo session on a transport of one's choice, and nothing of a node behind it: what conformance suites talk to.

`library` is trio_websocket with a server of its own and none of our code: what the other two must not fall behind.
"""

import argparse
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import trio
import trio_websocket
from attrs import evolve, frozen

from gameserver.config import Settings
from gameserver.net.edge import EdgeCounters
from gameserver.net.handshake import Admission, Opening
from gameserver.net.transports import TRANSPORTS
from gameserver.protocol.connection import Connection
from gameserver.protocol.frames import text_frame

HOST: Final = "127.0.0.1"
MESSAGE_LIMIT_BYTES: Final = 32 * 2**20
OUTGOING_LIMIT_BYTES: Final = 64 * 2**20
QUIET_MS: Final = 600_000
"""No ping and no idle deadline of ours shall get into a case."""

SETTINGS: Final = evolve(
    Settings().websocket,
    host=HOST,
    message_limit_bytes=MESSAGE_LIMIT_BYTES,
    outgoing_limit_bytes=OUTGOING_LIMIT_BYTES,
    ping_interval_ms=QUIET_MS,
    idle_deadline_ms=QUIET_MS,
)
NEVER_S: Final = 2**40

Serve = Callable[[int], Awaitable[None]]


@frozen
class Echo:
    connection: Connection

    def on_open(self) -> None: ...

    def on_text(self, data: bytes) -> None:
        self.connection.send(text_frame(data))

    def on_binary(self, data: bytes) -> None:
        self.connection.send(b"\x82" + text_frame(data)[1:])

    def on_congested(self) -> None: ...

    def on_drained(self) -> None: ...

    def on_close(self) -> None: ...


def admit_anybody(opening: Opening) -> Admission:
    return Admission("anybody", "", NEVER_S, None, None)


def open_echo(admission: Admission, connection: Connection) -> Echo:
    return Echo(connection)


async def serve_transport(name: str, port: int) -> None:
    await TRANSPORTS[name](evolve(SETTINGS, port=port), admit_anybody, open_echo, EdgeCounters())


async def serve_library(port: int) -> None:
    async def echo(request: trio_websocket.WebSocketRequest) -> None:
        websocket = await request.accept()
        with suppress(trio_websocket.ConnectionClosed):
            while True:
                await websocket.send_message(await websocket.get_message())

    await trio_websocket.serve_websocket(echo, HOST, port, ssl_context=None, max_message_size=MESSAGE_LIMIT_BYTES)


SIDES: Final[dict[str, Serve]] = {
    **{name: partial(serve_transport, name) for name in TRANSPORTS},
    "library": serve_library,
}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.conformance.echo", description=__doc__)
    arguments.add_argument("--transport", choices=SIDES, required=True)
    arguments.add_argument("--port", type=int, required=True)
    given = arguments.parse_args()
    with suppress(KeyboardInterrupt):
        trio.run(SIDES[given.transport], given.port)


if __name__ == "__main__":
    main()
