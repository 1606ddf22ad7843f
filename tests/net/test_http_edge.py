"""What all requests go through: health, origins, stopping and starting on a port."""

import socket
from functools import partial
from typing import Any

import pytest
import trio

from gameserver.config import HttpSettings
from gameserver.errors import StartError
from gameserver.net.http.app import Gate
from gameserver.net.serving import HttpCounters, listen, serve
from tests.net.http_world import app, authorization, settings

GAME = "https://game.example"


async def test_probes_are_answered_even_when_the_house_is_full() -> None:
    client = app(Gate(0)).test_client()
    assert (await client.get("/livez")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.get("/")).status_code == 503


async def test_readyz_says_why_not() -> None:
    response = await app(readiness=lambda: ["no lease"]).test_client().get("/readyz")
    assert response.status_code == 503
    assert await response.get_json() == {"ready": False, "reasons": ["no lease"]}


async def test_the_root_says_where_to_go() -> None:
    answer: Any = await (await app().test_client().get("/")).get_json()
    assert answer["openapi"] == "/openapi.json"


async def test_an_allowed_origin_may_ask_and_call() -> None:
    client = app(settings=settings(allowed_origins=(GAME,))).test_client()
    asked = {"Origin": GAME, "Access-Control-Request-Method": "POST"}
    preflight = await client.options("/groups", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == GAME
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    refused = await client.get("/groups?limit=0", headers={"Origin": GAME, **authorization()})
    assert refused.headers["Access-Control-Allow-Origin"] == GAME
    assert refused.headers["Vary"] == "Origin"
    foreign = await client.get("/", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert "Access-Control-Allow-Origin" not in foreign.headers


async def test_any_origin_or_our_own() -> None:
    anybody = app(settings=settings(allowed_origins=("*",))).test_client()
    response = await anybody.get("/", headers={"Origin": "https://evil.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    own = await app().test_client().get("/", headers={"Origin": "http://localhost", "Host": "localhost"})
    assert own.status_code == 200


async def test_a_connection_ends_when_it_was_said_to() -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            partial(
                serve, app(), HttpSettings(), "127.0.0.1", 0, HttpCounters(), stop=stop, setting="GAMESERVER_HTTP_PORT"
            )
        )
        with trio.fail_after(3):
            assert (await ask(port)).startswith(b"HTTP/1.1 200")
        stop.set()


async def ask(port: int, request: bytes = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        return b"".join([part async for part in stream])


async def test_an_app_is_served_on_any_port_until_it_is_stopped() -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            partial(
                serve, app(), HttpSettings(), "127.0.0.1", 0, HttpCounters(), stop=stop, setting="GAMESERVER_HTTP_PORT"
            )
        )
        answer = await ask(port)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b'{"alive":true}')
        idle = await trio.open_tcp_stream("127.0.0.1", port)
        await idle.send_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await idle.receive_some()
        stop.set()
        nursery.cancel_scope.deadline = trio.current_time() + 2  # an idle connection keeps nobody waiting
    assert not nursery.cancel_scope.cancelled_caught
    await idle.aclose()
    with pytest.raises(OSError, match=r"refused|failed"):
        await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_body_that_never_ends_is_given_up() -> None:
    stop = trio.Event()
    slow = app(settings=settings(request_deadline_ms=200))
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            partial(
                serve, slow, HttpSettings(), "127.0.0.1", 0, HttpCounters(), stop=stop, setting="GAMESERVER_HTTP_PORT"
            )
        )
        head = b"POST /players HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(head)
            with trio.fail_after(3):
                answer = b""
                while b"deadline_exceeded" not in answer:
                    answer += await stream.receive_some()
        stop.set()


def test_a_taken_port_and_a_wrong_host_are_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"127.0.0.1:{port}.*GAMESERVER_HTTP_PORT"):
            listen("127.0.0.1", port, "GAMESERVER_HTTP_PORT")
    with pytest.raises(StartError, match="GAMESERVER_HTTP_HOST"):
        listen("no such host", 0, "GAMESERVER_HTTP_PORT")
