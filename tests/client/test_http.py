import json
from contextlib import asynccontextmanager

import h11
import pytest
import trio

from gameserver.client.errors import Unreachable
from gameserver.client.http import HttpClient
from gameserver.client.limits import HttpLimits
from gameserver.errors import Refused

PROBLEM = {"code": "group_cooling_down", "detail": "Not yet.", "retry_after_ms": 1_500, "status": 429}


class Server:
    """Answers over h11 with what `answer(request head, body)` says: a status and JSON, or None to break off."""

    def __init__(self, answer):
        self.answer, self.connections, self.requests = answer, 0, []

    async def serve(self, stream):
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        while (request := await self.read(http, stream)) is not None:
            self.requests.append(request)
            answer = await self.answer(*request)
            if answer is None:
                return
            status, body = answer
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            head = h11.Response(status_code=status, headers=[("content-length", str(len(data)))])
            try:
                for event in (head, h11.Data(data=data), h11.EndOfMessage()):
                    await stream.send_all(http.send(event))
            except trio.BrokenResourceError:
                return  # the client would not wait
            http.start_next_cycle()

    async def read(self, http, stream):
        head, body = None, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some(65_536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return head, body
            else:
                return None


@asynccontextmanager
async def serving(answer, **limits):
    server = Server(answer)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
            port = listeners[0].socket.getsockname()[1]
            async with HttpClient(f"http://127.0.0.1:{port}/", HttpLimits(**limits)) as http:
                yield server, http
            nursery.cancel_scope.cancel()


async def fine(_head, _body):
    return 200, {"fine": True}


async def test_requests_share_a_kept_connection():
    async with serving(fine) as (server, http):
        for _ in range(3):
            assert await http.get("/things", token="secret") == {"fine": True}
        await http.post("/things", {"name": "ä"}, key="my-key")
    assert server.connections == 1
    head, body = server.requests[0]
    assert (head.method, head.target, body) == (b"GET", b"/things", b"")
    assert dict(head.headers)[b"authorization"] == b"Bearer secret"
    head, body = server.requests[-1]
    assert json.loads(body) == {"name": "ä"}
    assert dict(head.headers)[b"idempotency-key"] == b"my-key"
    assert dict(head.headers)[b"content-type"] == b"application/json"


async def test_a_problem_becomes_the_refusal_that_it_describes():
    async def refuse(_head, _body):
        return 429, PROBLEM

    async with serving(refuse) as (_, http):
        with pytest.raises(Refused) as caught:
            await http.post("/battles", {})
        assert (caught.value.code, caught.value.message, caught.value.retry_after_ms) == (
            "group_cooling_down",
            "Not yet.",
            1_500,
        )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 1', b"null"])
async def test_an_error_without_an_explanation_is_an_error_all_the_same(body):
    async def fail(_head, _body):
        return 502, body

    async with serving(fail) as (_, http):
        with pytest.raises(Refused, match="502"):
            await http.get("/")


async def test_at_most_so_many_connections():
    running, most = 0, 0

    async def slow(_head, _body):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(0.02)
        running -= 1
        return 200, {}

    async with serving(slow, connections=3) as (server, http), trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(http.get, "/")
    assert (most, server.connections, len(server.requests)) == (3, 3, 20)


async def test_a_stale_connection_is_replaced_and_the_same_key_sent_again():
    async def every_other(_head, _body):
        return None if len(server.requests) == 2 else (200, {"number": len(server.requests)})

    async with serving(every_other) as (server, http):
        await http.get("/")
        assert await http.post("/battles", {}) == {"number": 3}
    first, again = (dict(head.headers)[b"idempotency-key"] for head, _ in server.requests[1:])
    assert first == again


async def test_a_server_that_always_breaks_off_is_unreachable():
    async def never(_head, _body):
        return None

    async with serving(never) as (server, http):
        with pytest.raises(Unreachable):
            await http.get("/")
        assert server.connections == 1


async def test_a_late_answer_is_not_taken_for_the_next_one():
    async def first_late(_head, _body):
        number = len(server.requests)
        if number == 1:
            await trio.sleep(0.3)
        return 200, number

    async with serving(first_late, deadline_ms=100) as (server, http):
        with pytest.raises(Refused, match="deadline_exceeded"):
            await http.get("/")
        await trio.sleep(0.3)
        assert await http.get("/") == 2


async def test_an_endless_answer_ends():
    async def large(_head, _body):
        return 200, b"1" * 200_000

    async with serving(large, answer_bytes=100_000) as (_, http):
        with pytest.raises(Unreachable, match="100000 bytes"):
            await http.get("/")


async def test_nobody_there():
    async with HttpClient("http://127.0.0.1:1") as http:
        with pytest.raises(Unreachable, match="nothing answers"):
            await http.get("/")
