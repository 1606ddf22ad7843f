"""Who gets in, and what the others are told."""

import json
import time

import pytest
import trio
import trio.testing

from gameserver.protocol.close_codes import CloseCode
from tests.net.edge_stage import BEARER, ORIGIN, bearer
from tests.net.raw_client import connected, goodbye, masked, request, text

TOKEN = BEARER.rpartition(" ")[2]
PATIENCE_S = 3
"""Far above the deadline for a handshake, and far below all others."""


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", (BEARER,)),
        ("/ws", (BEARER,)),
        ("/ws?instance=7", (BEARER,)),
        ("/ws", (BEARER, f"Origin: {ORIGIN}")),
        ("/ws", (BEARER, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")),
        ("/ws", (f"Sec-WebSocket-Protocol: token.{TOKEN}",)),
        ("/ws", (BEARER, "Sec-WebSocket-Protocol: chat, superchat")),
    ],
)
async def test_who_asks_properly_gets_in(serving, target, headers):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        await client.send(request(target, *headers))
        status, answered, _ = await client.answer()
        assert status == 101
        assert answered["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & set(answered)
        await client.send(text("hello"))
        assert await client.frame() == (1, b"hello")
        assert stage.endpoints[0].admission.instance == (7 if "instance" in target else None)
        assert stage.counters.handshakes_failed_total == 0


async def test_the_subprotocol_is_echoed_without_the_token(serving):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        await client.send(request("/ws", f"Sec-WebSocket-Protocol: gameserver.v1, token.{TOKEN}"))
        status, headers, _ = await client.answer()
        assert (status, headers["sec-websocket-protocol"]) == (101, "gameserver.v1")


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        ("/elsewhere", (BEARER,), 404, "not_found"),
        ("/ws", (BEARER, "Origin: https://evil.example"), 403, "origin_not_allowed"),
        ("/ws", (), 401, "token_missing"),
        ("/ws", ("Authorization: Bearer forged",), 401, "token_invalid"),
        ("/ws", (bearer(expires_at_s=int(time.time()) - 5),), 401, "token_expired"),
        ("/ws", ("Sec-WebSocket-Protocol: gameserver.v1, token.forged",), 401, "token_invalid"),
        ("/ws?instance=x", (BEARER,), 400, "invalid_message"),
    ],
)
async def test_a_handshake_is_refused_with_its_reason(serving, target, headers, status, code):
    async with serving() as stage:
        async with connected(stage.port, handshake=False) as client:
            await client.send(request(target, *headers) + text("not heard"))
            answered, answer_headers, body = await client.answer()
            assert (answered, json.loads(body)["code"]) == (status, code)
            assert answer_headers["content-type"] == "application/problem+json"
            assert ("www-authenticate" in answer_headers) == (status == 401)
            await client.half_close()
            assert await client.close_code() is None
        await stage.until_empty()
        assert (stage.counters.handshakes_refused_total, stage.counters.handshakes_failed_total) == (1, 1)
        assert not stage.endpoints


def without(header):
    return b"\r\n".join(line for line in request("/ws", BEARER).split(b"\r\n") if not line.startswith(header))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        request("/\xff"),
        request("/ws", BEARER).replace(b"GET", b"POST", 1),
        request("/ws", BEARER).replace(b"Version: 13", b"Version: 8"),
        without(b"Connection"),
        without(b"Host"),
        without(b"Sec-WebSocket-Key"),
        without(b"Sec-WebSocket-Version"),
        without(b"Upgrade"),
        request("/ws", BEARER, "A header without a colon"),
        request("/ws", BEARER, "X: \x00"),
    ],
)
async def test_what_is_no_handshake_is_answered_and_dropped(serving, data):
    async with serving() as stage:
        async with connected(stage.port, handshake=False) as client:
            await client.send(data)
            status, headers, body = await client.answer()
            assert headers["content-type"] == "application/problem+json"
            assert (json.loads(body)["code"], json.loads(body)["status"]) == ("invalid_message", status)
            assert 400 <= status < 500
            assert (status == 426) <= (headers.get("sec-websocket-version") == "13")
            assert await client.close_code() is None
        await stage.until_empty()
        assert not stage.endpoints
        assert (stage.counters.handshakes_refused_total, stage.counters.handshakes_failed_total) == (0, 1)


@pytest.mark.parametrize("line_bytes", [20_000, 200_000])
async def test_headers_without_an_end_are_not_kept(serving, line_bytes):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        try:
            await client.send(request("/ws", f"X: {'x' * line_bytes}")[:-4])
            status, _, body = await client.answer()
        except trio.BrokenResourceError:
            pass  # cut while it was still sending: the answer is lost in that
        else:
            assert 400 <= status == json.loads(body)["status"] < 500
        await stage.until_empty()
        assert stage.counters.handshakes_failed_total == 1


async def test_frames_that_come_with_the_handshake_are_heard(serving):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        await client.send(request("/", BEARER) + text("eager") + masked(9, b"?") + text("again")[:3])
        assert (await client.answer())[0] == 101
        assert await client.frame() == (1, b"eager")
        assert await client.frame() == (10, b"?")
        await client.send(text("again")[3:])
        assert await client.frame() == (1, b"again")


async def test_a_handshake_may_come_byte_by_byte(serving):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        for byte in request("/", BEARER) + text("hello"):
            await client.send(bytes((byte,)))
            await trio.lowlevel.checkpoint()
        assert (await client.answer())[0] == 101
        assert await client.frame() == (1, b"hello")


@pytest.mark.parametrize("garbage", [b"\x00" * 10, request("/", BEARER), b"\xff" * 200])
async def test_garbage_behind_the_handshake_is_a_violation(serving, garbage):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        await client.send(request("/", BEARER) + garbage)
        assert (await client.answer())[0] == 101
        assert await client.close_code() == CloseCode.PROTOCOL_ERROR.code


async def test_a_goodbye_with_the_handshake_is_answered(serving):
    async with serving() as stage, connected(stage.port, handshake=False) as client:
        await client.send(request("/", BEARER) + goodbye(1000))
        assert (await client.answer())[0] == 101
        assert await client.close_code() == 1000


@pytest.mark.parametrize("data", [b"", request()[:30], request().replace(b"game", b"\xff"), b"\x00\r\n\r\n", request()])
@pytest.mark.parametrize("end", ["close", "half_close", "reset"])
async def test_who_leaves_before_the_end_of_the_handshake_is_forgotten_at_once(serving, data, end):
    async with serving(close_deadline_ms=60_000) as stage:
        async with connected(stage.port, handshake=False) as client:
            await client.send(data)
            if end != "close":
                await getattr(client, end)()
                await stage.until(lambda: stage.counters.connections_total == 1)
                await stage.until_empty()
        await stage.until(lambda: stage.counters.connections_total == 1)
        await stage.until_empty()
        assert stage.counters.handshakes_failed_total == 1


async def drip(client):
    for byte in request():
        await client.send(bytes((byte,)))
        await trio.sleep(0.02)


async def test_a_handshake_that_never_ends_is_ended(serving):
    async with (
        serving(handshake_deadline_ms=300) as stage,
        connected(stage.port, handshake=False) as silent,
        connected(stage.port, handshake=False) as slow,
    ):
        start = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await drip(slow)
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await silent.answer()
        assert trio.current_time() - start < PATIENCE_S
        await stage.until_empty()
        assert stage.counters.handshakes_failed_total == 2


async def test_beyond_the_limit_connections_are_refused(serving):
    async with serving(connections_limit=1) as stage:
        async with stage.client(), connected(stage.port, handshake=False) as client:
            await client.send(request("/", BEARER))
            status, headers, body = await client.answer()
            assert (status, json.loads(body)["code"]) == (503, "too_many_connections")
            assert "retry-after" in headers
        await stage.until_empty()
        async with stage.client() as (client, _):
            await client.send(text("room again"))
            assert await client.frame() == (1, b"room again")


async def test_far_beyond_the_limit_they_are_not_even_told(serving):
    async with serving(connections_limit=1) as stage:
        async with stage.client() as (inside, _), connected(stage.port, handshake=False):
            await stage.until_connections(2)
            async with connected(stage.port, handshake=False) as client:
                with pytest.raises((EOFError, trio.BrokenResourceError)):
                    await client.answer()
            await inside.send(text("undisturbed"))
            assert await inside.frame() == (1, b"undisturbed")
            assert stage.counters.connections == 2


async def test_a_stopping_edge_refuses_who_is_on_the_way_in(serving):
    async with (
        serving(close_deadline_ms=5_000) as stage,
        connected(stage.port, handshake=False) as client,
    ):
        await client.send(request("/", BEARER)[:-2])
        await stage.until_connections(1)
        stage.stop()
        await trio.testing.wait_all_tasks_blocked()
        await client.send(b"\r\n")
        status, _, body = await client.answer()
        assert (status, json.loads(body)["code"]) == (503, "node_stopping")
