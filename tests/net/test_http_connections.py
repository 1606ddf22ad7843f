"""HTTP connections have an end: by the clock, by their number, when the client leaves, and when the node stops."""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from gameserver.net.serving import GRACE_S
from tests.net.http_stage import DEADLINE_S, GET, LARGE, PATIENT, POST, Slow, echo, large, read, rest, served, until

# -- clocks and limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_without_a_whole_request_is_closed(sent: bytes) -> None:
    async with served(echo, evolve(PATIENT, idle_deadline_ms=100)) as stage:
        assert await stage.ask(sent) == b""


async def test_headers_that_drip_do_not_keep_a_connection() -> None:
    async with served(echo, evolve(PATIENT, idle_deadline_ms=300)) as stage, stage.client() as stream:
        await stage.until_connections(1)
        while stage.counters.connections:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"X: y\r\n")
            await trio.sleep(0.02)


async def test_an_app_at_work_has_more_time_than_an_idle_connection() -> None:
    app = Slow()
    async with served(app, evolve(PATIENT, idle_deadline_ms=50)) as stage, stage.client() as stream:
        await stream.send_all(GET)
        await trio.sleep(0.2)
        app.go_on.set()
        await until(stream, b"late")


async def test_a_client_that_does_not_take_its_answer_is_closed() -> None:
    async with served(large, evolve(PATIENT, send_deadline_ms=100)) as stage, stage.client() as stream:
        await stream.send_all(GET)
        await stage.until_connections(1)
        await stage.until_connections(0)
        assert len(await rest(stream)) < LARGE


async def test_beyond_the_limit_connections_are_closed_at_once() -> None:
    async with served(echo, evolve(PATIENT, connections_limit=1)) as stage:
        async with stage.client() as first:
            await first.send_all(GET)
            await until(first, b"/ ")
            assert await stage.ask(b"") == b""
            assert stage.counters.connections_refused_total == 1
        await stage.until_connections(0)
        async with stage.client() as second:
            await second.send_all(GET)
            await until(second, b"/ ")


# -- leaving and stopping -------------------------------------------------------------------------------------------


async def test_who_leaves_in_the_middle_of_a_body_is_told_to_the_app() -> None:
    left = trio.Event()

    async def reading(_: Any, receive: Any, __: Any) -> None:
        if await read(receive) is None:
            left.set()

    async with served(reading) as stage:
        async with stage.client() as stream:
            await stream.send_all(POST + b"Content-Length: 30\r\n\r\none")
        with trio.fail_after(DEADLINE_S):
            await left.wait()


@pytest.mark.parametrize("reset", [False, True])
async def test_what_was_begun_is_ended_also_for_a_client_that_left(reset: bool) -> None:
    app = Slow()
    async with served(app) as stage:
        async with stage.client() as stream:
            await stream.send_all(GET)
            await app.begun.wait()
            if reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        app.go_on.set()
        with trio.fail_after(DEADLINE_S):
            await app.ended.wait()


async def test_a_stop_ends_idle_connections_at_once_and_waits_for_requests_at_work() -> None:
    app = Slow()
    async with served(app) as stage, stage.client() as idle, stage.client() as busy:
        await busy.send_all(GET)
        await app.begun.wait()
        await stage.until_connections(2)
        stage.stop.set()
        assert await rest(idle) == b""
        with pytest.raises(OSError, match=r"refused|failed"):
            await trio.open_tcp_stream("127.0.0.1", stage.port)
        app.go_on.set()
        answered = await rest(busy)
        assert b"connection: close" in answered
        assert answered.endswith(b"late")


async def test_a_stop_while_an_answer_is_on_its_way_ends_the_connection_behind_it() -> None:
    async with served(large) as stage, stage.client() as stream:
        await stream.send_all(GET)
        head = await stream.receive_some(100)
        stage.stop.set()
        with trio.fail_after(GRACE_S / 2):
            assert b"connection: close" not in head
            assert (await rest(stream)).endswith(b"x")


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_no_way_to_end_leaves_a_descriptor_behind() -> None:
    async with served(echo, evolve(PATIENT, idle_deadline_ms=100, connections_limit=20)) as stage:
        await stage.ask(b"nonsense\r\n\r\n")
        await stage.until_connections(0)
        before = open_descriptors()
        for sent in (b"", GET, b"nonsense\r\n\r\n", POST + b"Content-Length: 30\r\n\r\none", GET * 9) * 6:
            async with stage.client() as stream:
                await stream.send_all(sent)
        await stage.until_connections(0)
        assert open_descriptors() == before
