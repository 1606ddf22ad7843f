import json
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs

from gameserver.config import Settings
from gameserver.errors import StartError
from gameserver.net.frame_stream import EdgeCounters
from gameserver.net.handshake import admit
from gameserver.net.tokens import Claims, Tokens
from gameserver.net.trio_websocket_edge import serve_websocket
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from tests.net.raw_client import connected, masked, request, text

DEADLINE_S = 20
tokens = Tokens("a secret of this test", ttl_s=60)
BEARER = f"Authorization: Bearer {tokens.issue(Claims('ada', 'session-1', 4_000_000_000))}"
BASE = evolve(Settings().websocket, port=0, handshake_deadline_ms=300, close_deadline_ms=300)


@define(eq=False)
class Echo:
    connection: object
    log: list = field(factory=list)
    heard: list = field(factory=list)

    def on_open(self):
        self.log.append("open")

    def on_text(self, data):
        assert self.log[0] == "open"
        assert self.log[-1] != "close"
        self.heard.append(data)
        if data == b"fail":
            raise RuntimeError("a fault of the endpoint")
        self.connection.send(text_frame(data))

    def on_close(self):
        self.log.append("close")


@define
class Served:
    port: int
    counters: EdgeCounters
    endpoints: list
    stop: object

    async def until(self, condition):
        while True:
            if condition(self):
                return
            await trio.sleep(0.01)


@asynccontextmanager
async def serving(faults=0, **changes):
    """An edge with echoing endpoints; afterwards nothing of it is left, and every endpoint was closed exactly once."""
    counters, endpoints, scope = EdgeCounters(), [], trio.CancelScope()

    def open_endpoint(admission, connection):
        endpoints.append(Echo(connection))
        return endpoints[-1]

    async def serve(task_status):
        with scope:
            await serve_websocket(evolve(BASE, **changes), door, open_endpoint, counters, task_status=task_status)

    door = partial(admit, allowed_origins=("https://game.example",), verify=tokens.verify)
    with trio.fail_after(DEADLINE_S), capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve)
            yield Served(port, counters, endpoints, scope.cancel)
            scope.cancel()
    assert all(endpoint.log == ["open", "close"] for endpoint in endpoints)
    assert (counters.connections, counters.bytes_buffered) == (0, 0)
    assert len(logged) == faults, logged


async def test_messages_come_back_in_order():
    async with serving() as served, connected(served.port, "/", BEARER) as client:
        await client.send(b"".join(text(f"message {n}") for n in range(500)))
        for n in range(500):
            assert await client.frame() == (1, f"message {n}".encode())


async def test_fragments_of_a_message_come_together():
    async with serving() as served, connected(served.port, "/", BEARER) as client:
        await client.send(masked(1, b"one ", fin=False) + masked(9, b"now") + masked(0, "zwölf".encode()))
        assert await client.frame() == (10, b"now")
        assert await client.frame() == (1, "one zwölf".encode())


async def test_the_client_may_close():
    async with serving() as served, connected(served.port, "/", BEARER) as client:
        await client.send(text("last words") + masked(8, (1000).to_bytes(2, "big")))
        assert await client.frame() == (1, b"last words")
        assert await client.frame() == (8, (1000).to_bytes(2, "big"))
        served.endpoints[0].connection.send(text_frame(b"too late"))
        with pytest.raises(EOFError):  # and not a reset connection
            await client.frame()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(2, b"bytes"), CloseCode.UNSUPPORTED_DATA),
        (masked(1, b"x" * 70_000), CloseCode.MESSAGE_TOO_BIG),
        (masked(1, "ä".encode() * 40_000), CloseCode.MESSAGE_TOO_BIG),
        (masked(1, b"\xff\xfe"), CloseCode.INVALID_TEXT),
        (b"\x81\x01x", CloseCode.PROTOCOL_ERROR),
        (masked(0, b"continued"), CloseCode.PROTOCOL_ERROR),
        (masked(3, b""), CloseCode.PROTOCOL_ERROR),
    ],
)
async def test_what_is_not_a_message_closes_the_connection(data, code):
    async with serving() as served, connected(served.port, "/", BEARER) as client:
        await client.send(data + text("not heard any more"))
        assert await client.close_code() == code.code
        assert served.endpoints[0].heard == []


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        ("/elsewhere", (BEARER,), 404, "not_found"),
        ("/ws", (BEARER, "Origin: https://evil.example"), 403, "origin_not_allowed"),
        ("/ws", (), 401, "token_missing"),
        ("/ws", ("Authorization: Bearer forged",), 401, "token_invalid"),
        ("/ws", ("Sec-WebSocket-Protocol: gameserver.v1, token.forged",), 401, "token_invalid"),
        ("/ws?instance=x", (BEARER,), 400, "invalid_message"),
    ],
)
async def test_a_handshake_is_refused_with_its_reason(target, headers, status, code):
    async with serving() as served, connected(served.port, handshake=False) as client:
        await client.send(request(target, *headers))
        answered, answer_headers, body = await client.answer()
        assert (answered, json.loads(body)["code"]) == (status, code)
        assert answer_headers["content-type"] == "application/problem+json"
        assert ("www-authenticate" in answer_headers) == (status == 401)
        await client.stream.send_eof()
        assert await client.close_code() is None
        assert (served.counters.handshakes_refused_total, served.counters.handshakes_failed_total) == (1, 1)
        assert not served.endpoints


async def test_the_subprotocol_is_echoed_without_the_token():
    token = BEARER.rpartition(" ")[2]
    async with serving() as served, connected(served.port, handshake=False) as client:
        await client.send(request("/ws", f"Sec-WebSocket-Protocol: gameserver.v1, token.{token}"))
        status, headers, _ = await client.answer()
        assert (status, headers["sec-websocket-protocol"]) == (101, "gameserver.v1")
        assert "sec-websocket-extensions" not in headers


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        request("/\xff"),
    ],
)
async def test_what_is_no_handshake_is_answered_and_dropped(data):
    async with serving() as served, connected(served.port, handshake=False) as client:
        await client.send(data)
        status, headers, body = await client.answer()
        assert headers["content-type"] == "application/problem+json"
        assert (json.loads(body)["code"], json.loads(body)["status"]) == ("invalid_message", status)
        assert await client.close_code() is None
        assert not served.endpoints


@pytest.mark.parametrize("data", [b"", request()[:30], request().replace(b"game", b"\xff"), b"\x00\r\n\r\n"])
async def test_a_client_that_leaves_before_the_end_of_the_handshake_is_forgotten_at_once(data):
    async with serving(handshake_deadline_ms=60_000) as served:
        async with connected(served.port, handshake=False) as client:
            await client.send(data)
        await served.until(lambda served: served.counters.connections_total == 1)
        await served.until(lambda served: served.counters.connections == 0)
        assert served.counters.handshakes_failed_total == 1


async def drip(client):
    for byte in request():
        await client.send(bytes((byte,)))
        await trio.sleep(0.02)


async def test_a_handshake_that_never_ends_is_ended():
    async with (
        serving() as served,
        connected(served.port, handshake=False) as silent,
        connected(served.port, handshake=False) as slow,
    ):
        start = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await drip(slow)
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await silent.answer()
        assert trio.current_time() - start < 3
        await served.until(lambda served: served.counters.connections == 0)
        assert served.counters.handshakes_failed_total == 2


async def test_beyond_the_limit_connections_are_refused():
    async with serving(connections_limit=1) as served:
        async with connected(served.port, "/", BEARER), connected(served.port, handshake=False) as client:
            await client.send(request("/", BEARER))
            status, headers, body = await client.answer()
            assert (status, json.loads(body)["code"]) == (503, "too_many_connections")
            assert "retry-after" in headers
        await served.until(lambda served: served.counters.connections == 0)
        async with connected(served.port, "/", BEARER) as client:
            await client.send(text("room again"))
            assert await client.frame() == (1, b"room again")


async def test_a_client_that_does_not_read_is_closed_and_harms_nobody():
    async with (
        serving(outgoing_limit_bytes=100_000) as served,
        connected(served.port, "/", BEARER, receive_buffer=4_096) as deaf,
    ):
        await served.until(lambda served: len(served.endpoints) == 1)
        victim = served.endpoints[0].connection
        async with connected(served.port, "/", BEARER) as other:
            frame, most = text_frame(b"x" * 1_000), 0
            for n in range(10_000):
                victim.send(frame)
                most = max(most, served.counters.bytes_buffered)
                if n % 100 == 0:
                    await other.send(text(str(n)))
                    assert await other.frame() == (1, str(n).encode())
            assert 0 < most <= 100_000 + 125
            assert served.counters.slow_consumers_total == 1
        # It gets all that was kept for it, whole, and is told why, if it begins to read in time.
        assert await deaf.close_code() == CloseCode.SLOW_CONSUMER.code


async def test_a_deaf_client_is_cut_when_the_deadline_has_come():
    async with (
        serving(outgoing_limit_bytes=100_000) as served,
        connected(served.port, "/", BEARER, receive_buffer=4_096),
    ):
        await served.until(lambda served: len(served.endpoints) == 1)
        for _ in range(5_000):
            served.endpoints[0].connection.send(text_frame(b"x" * 1_000))
        await served.until(lambda served: served.counters.connections == 0)
        assert served.counters.bytes_buffered == 0


async def test_one_send_that_is_too_large_by_itself_cuts_the_connection():
    async with (
        serving(outgoing_limit_bytes=1_000) as served,
        connected(served.port, "/", BEARER, receive_buffer=4_096) as client,
    ):
        await served.until(lambda served: len(served.endpoints) == 1)
        served.endpoints[0].connection.send(text_frame(b"x" * 50_000_000))
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await client.frame()
        assert served.counters.slow_consumers_total == 1


async def test_control_frames_never_cut_into_others():
    """A slow reader makes the kernel take parts of frames only, while pings ask for pongs in between."""
    async with (
        serving(outgoing_limit_bytes=50_000_000) as served,
        connected(served.port, "/", BEARER, receive_buffer=4_096) as client,
    ):
        await served.until(lambda served: len(served.endpoints) == 1)
        connection, rounds = served.endpoints[0].connection, 400

        async def push():
            for n in range(rounds):
                connection.send(text_frame(str(n).encode().ljust(10_000)) * 2)
                await client.send(masked(9, str(n).encode()))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            texts, pongs = [], []
            while len(texts) < 2 * rounds or len(pongs) < rounds:
                opcode, payload = await client.frame()
                (texts if opcode == 1 else pongs).append(int(payload))
        assert texts == [n for n in range(rounds) for _ in range(2)]
        assert pongs == list(range(rounds))


async def test_silent_clients_are_pinged_and_dead_ones_closed():
    async with (
        serving(ping_interval_ms=100, idle_deadline_ms=400) as served,
        connected(served.port, "/", BEARER) as alive,
        connected(served.port, "/", BEARER) as dead,
    ):
        start = trio.current_time()
        while trio.current_time() - start < 1.0:
            assert await alive.frame() == (9, b"")
            await alive.send(masked(10, b""))
        assert await dead.close_code() == CloseCode.IDLE.code
        await alive.send(text("still here"))
        while (frame := await alive.frame())[0] == 9:
            pass
        assert frame == (1, b"still here")


async def test_a_token_that_runs_out_closes_the_connection():
    soon = tokens.issue(Claims("ada", "session-1", int(time.time()) + 2))
    async with serving() as served, connected(served.port, "/", f"Authorization: Bearer {soon}") as client:
        assert await client.close_code() == CloseCode.TOKEN_EXPIRED.code


async def test_close_says_everything_before_it_and_nothing_after():
    async with serving() as served, connected(served.port, "/", BEARER) as client:
        await served.until(lambda served: len(served.endpoints) == 1)
        connection = served.endpoints[0].connection
        connection.send(text_frame(b"before"))
        connection.close(CloseCode.SESSION_REVOKED)
        connection.send(text_frame(b"after"))
        connection.close(CloseCode.NORMAL)
        await client.send(masked(9, b"too late"))
        assert await client.frame() == (1, b"before")
        assert await client.close_code() == CloseCode.SESSION_REVOKED.code
        connection.send(text_frame(b"long after"))


async def test_a_fault_of_one_endpoint_ends_one_connection():
    async with serving(faults=1) as served, connected(served.port, "/", BEARER) as good:
        async with connected(served.port, "/", BEARER) as bad:
            await bad.send(text("fail"))
            await bad.close_code()
        await good.send(text("fine"))
        assert await good.frame() == (1, b"fine")


async def test_stopping_tells_everybody_and_does_not_wait_for_ever():
    async with (
        serving() as served,
        connected(served.port, "/", BEARER) as client,
        connected(served.port, handshake=False),
    ):
        await served.until(lambda served: served.counters.connections == 2 and served.endpoints)
        start = trio.current_time()
        served.stop()
        assert await client.close_code() == CloseCode.GOING_AWAY.code
    assert trio.current_time() - start < 2


async def test_stopping_lets_a_backlog_go_out():
    async with (
        serving(close_deadline_ms=5_000) as served,
        connected(served.port, "/", BEARER, receive_buffer=4_096) as client,
    ):
        await served.until(lambda served: served.endpoints)
        for _ in range(300):
            served.endpoints[0].connection.send(text_frame(b"x" * 3_000))
        await served.until(lambda served: served.counters.bytes_buffered > 0)
        served.stop()
        for _ in range(300):
            assert await client.frame() == (1, b"x" * 3_000)
        assert await client.close_code() == CloseCode.GOING_AWAY.code


async def test_a_taken_port_says_what_to_do():
    async with serving() as served:
        with pytest.raises(StartError, match="GAMESERVER_WEBSOCKET_PORT"):
            await serve_websocket(evolve(BASE, port=served.port), None, None, EdgeCounters())


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_descriptor_is_left_behind():
    async with serving(handshake_deadline_ms=100, close_deadline_ms=100) as served:
        before = open_descriptors()
        for n in range(40):
            async with connected(served.port, handshake=False):
                pass
            async with connected(served.port, handshake=False) as client:
                await client.send(request("/ws")[:40] if n % 2 else request("/ws"))
            async with connected(served.port, "/", BEARER) as client:
                await client.send(text("hello"))
            async with connected(served.port, "/", BEARER) as client:
                await client.send(masked(8, b""))
                await client.close_code()
            async with connected(served.port, "/", BEARER) as client:
                await client.send(masked(2, b"") if n % 2 else b"\xff\xff\xff")
                await client.close_code()
        await served.until(lambda served: served.counters.connections == 0)
        assert open_descriptors() == before
        assert served.counters.connections_total == 200
