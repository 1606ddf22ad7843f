"""An edge on a transport, with endpoints that write down what they hear and say it back.

Each stage ends with the same questions, whatever the test was about: was every endpoint opened first and closed last,
once; are the counters back at zero; is every descriptor given back; was nothing logged but the faults that were meant.
"""

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs

from gameserver.config import Settings
from gameserver.net.edge import EdgeCounters
from gameserver.net.handshake import admit
from gameserver.net.tokens import Claims, Tokens
from gameserver.protocol.frames import text_frame
from tests.net.raw_client import connected

DEADLINE_S = 20
ORIGIN = "https://game.example"
NEVER_S = 4_000_000_000
tokens = Tokens("a secret of this test", ttl_s=60)


def bearer(expires_at_s=NEVER_S):
    return f"Authorization: Bearer {tokens.issue(Claims('ada', 'session-1', expires_at_s))}"


BEARER = bearer()
BASE = evolve(Settings().websocket, port=0, handshake_deadline_ms=20_000, close_deadline_ms=300)
FILLING = text_frame(b"x" * 1_000)
BIG_BACKLOG = {"outgoing_limit_bytes": 100_000_000}


admit_by_token = partial(admit, allowed_origins=(ORIGIN,), verify=tokens.verify)


@define(eq=False)
class Echo:
    admission: object
    connection: object
    life: list = field(factory=list)
    """What was called, without the messages."""
    texts: list = field(factory=list)
    binaries: list = field(factory=list)

    def on_open(self):
        self.life.append("open")

    def on_text(self, data):
        self._check(data)
        self.texts.append(data)
        self.connection.send(text_frame(data))

    def on_binary(self, data):
        self._check(data)
        self.binaries.append(data)

    def on_congested(self):
        self.life.append("congested")

    def on_drained(self):
        self.life.append("drained")

    def on_close(self):
        self.life.append("close")

    def _check(self, data):
        assert type(data) is bytes
        assert self.life[0] == "open"
        assert self.life[-1] != "close"


@define
class Stage:
    port: int
    counters: EdgeCounters
    endpoints: list
    stop: object

    async def until(self, condition):
        """As long as it takes; the stage has a deadline."""
        while not condition():
            await trio.sleep(0.005)

    async def until_closed(self):
        await self.until(lambda: self.endpoints and all(endpoint.life[-1:] == ["close"] for endpoint in self.endpoints))

    async def until_connections(self, count):
        await self.until(lambda: self.counters.connections == count)

    async def until_empty(self):
        await self.until_connections(0)

    @asynccontextmanager
    async def client(self, **options):
        """A client that is connected, and its endpoint."""
        known = len(self.endpoints)
        async with connected(self.port, "/", BEARER, **options) as client:
            await self.until(lambda: len(self.endpoints) > known and self.endpoints[known].life)
            yield client, self.endpoints[known]

    @asynccontextmanager
    async def deaf(self):
        """As `client`, but for one that takes little at a time, and only when it reads."""
        async with self.client(receive_buffer=4_096) as (client, endpoint):
            yield client, endpoint

    def fill(self, endpoint, size_bytes, frame=FILLING):
        """Send until so much waits; returns how many frames it took."""
        sent = 0
        while self.counters.bytes_buffered < size_bytes:
            endpoint.connection.send(frame)
            sent += 1
        return sent


@asynccontextmanager
async def serving(serve, endpoint=Echo, faults=0, **changes):
    """`faults`: as many endpoints are going to fail; `changes`: of the settings."""
    counters, endpoints, scope, descriptors = EdgeCounters(), [], trio.CancelScope(), open_descriptors()

    def open_endpoint(admission, connection):
        endpoints.append(endpoint(admission, connection))
        return endpoints[-1]

    async def run(task_status):
        with scope:
            await serve(evolve(BASE, **changes), admit_by_token, open_endpoint, counters, task_status=task_status)

    with trio.fail_after(DEADLINE_S), capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(run)
            yield Stage(port, counters, endpoints, scope.cancel)
            scope.cancel()
    for one in endpoints:
        assert (one.life[0], one.life[-1]) == ("open", "close")
        assert (one.life.count("open"), one.life.count("close")) == (1, 1)
    assert (counters.connections, counters.bytes_buffered) == (0, 0)
    assert open_descriptors() == descriptors
    assert [entry["log_level"] for entry in logged].count("error") == faults, logged


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))
