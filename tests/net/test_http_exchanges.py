"""HTTP/1.1 on real sockets: a request and its answer, one after another, and what is no request at all."""

from typing import Any

import pytest
import trio

from tests.net.http_stage import GET, POST, echo, refusing, served, until

# -- requests and answers -------------------------------------------------------------------------------------------


async def test_requests_on_one_connection_are_answered_one_after_another() -> None:
    async with served(echo) as stage, stage.client() as stream:
        for body in (b"one", b"two"):
            await stream.send_all(POST + b"Content-Length: 3\r\n\r\n" + body)
            assert (await until(stream, body)).startswith(b"HTTP/1.1 200")


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    ahead = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50))
    last = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with served(echo) as stage:
        answers = await stage.ask(ahead + last)
    assert [part.split(b" ")[0] for part in answers.split(b"\r\n\r\n/")[1:]] == [
        *(str(number).encode() for number in range(50)),
        b"last",
    ]


@pytest.mark.parametrize("split", [1, 7])
async def test_a_request_may_come_in_pieces(split: int) -> None:
    request = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n2;x=y\r\ntw\r\n0\r\n\r\n"
    async with served(echo) as stage, stage.client() as stream:
        for start in range(0, len(request), split):
            await stream.send_all(request[start : start + split])
            await trio.lowlevel.checkpoint()
        assert (await until(stream, b"/ onetw")).startswith(b"HTTP/1.1 200")


async def test_an_answer_to_head_has_the_headers_alone_and_the_connection_goes_on() -> None:
    async with served(echo) as stage, stage.client() as stream:
        await stream.send_all(GET.replace(b"GET", b"HEAD"))
        assert b"content-length: 2" in await until(stream, b"\r\n\r\n")
        await stream.send_all(GET)
        assert (await until(stream, b"\r\n\r\n/ ")).startswith(b"HTTP/1.1 200")


async def test_every_answer_is_dated() -> None:
    async with served(echo) as stage:
        assert b"\r\ndate: " in await stage.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert b"\r\ndate: " in await stage.ask(b"nonsense\r\n\r\n")


async def test_an_old_client_gets_its_answer_and_the_end() -> None:
    async with served(echo) as stage:
        answered = await stage.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 200")
    assert answered.endswith(b"/ ")


async def test_who_waits_for_a_go_ahead_gets_it_when_the_body_is_asked_for() -> None:
    async with served(echo) as stage, stage.client() as stream:
        await stream.send_all(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await stream.send_all(b"one")
        assert (await until(stream, b"/ one")).startswith(b"HTTP/1.1 200")


async def test_who_is_refused_before_the_body_is_not_asked_for_it() -> None:
    async with served(refusing) as stage:
        answered = await stage.ask(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answered


async def test_who_is_refused_can_read_why_even_while_sending() -> None:
    async with served(refusing) as stage:
        answered = await stage.ask(POST + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    assert answered.startswith(b"HTTP/1.1 413")
    assert answered.endswith(b"no")


async def test_a_small_body_that_nobody_reads_costs_no_connection() -> None:
    async with served(refusing) as stage, stage.client() as stream:
        for _ in range(2):
            await stream.send_all(POST + b"Content-Length: 3\r\n\r\none")
            assert b"connection: close" not in await until(stream, b"no")


# -- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\nzz\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000, 431),
    ],
)
async def test_what_is_no_http_is_answered_with_its_status_and_the_end(sent: bytes, status: int) -> None:
    async with served(echo) as stage:
        answered = await stage.ask(sent)
    assert answered.startswith(b"HTTP/1.1 %d" % status)
    assert b"connection: close" in answered


async def test_an_app_that_fails_has_an_answer_and_its_connection_an_end() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            raise ValueError("a fault")
        await echo(scope, receive, send)

    async with served(failing) as stage:
        assert (await stage.ask(GET)).startswith(b"HTTP/1.1 500")
        async with stage.client() as stream:
            await stream.send_all(GET.replace(b"/ ", b"/good "))
            await until(stream, b"/good ")
