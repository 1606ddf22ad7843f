"""The relay between nodes and servers, and what its two ends notice of each fault."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from loadtest.chaos.relay import Pace, Relay, relayed
from tests.node.world import eventually

DEADLINE_S = 5
SILENCE_S = 0.2


class Echo:
    """A server that answers with what it hears; `ended` counts the clients who have left."""

    def __init__(self) -> None:
        self.clients = self.ended = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.clients += 1
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass
        finally:
            self.ended += 1


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Relay, Echo]]:
    echo = Echo()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, echo.serve, [listener])
            with Relay(f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/ws") as relay:
                yield relay, echo
            nursery.cancel_scope.cancel()


async def connected(relay: Relay) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(relay.url.removesuffix("/ws").rpartition(":")[2]))


async def said(stream: trio.SocketStream, word: bytes) -> bytes:
    """What comes back; b"" if the connection has ended."""
    try:
        await stream.send_all(word)
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


async def test_what_is_said_on_one_side_is_heard_on_the_other() -> None:
    async with echoing() as (relay, _), await connected(relay) as stream:
        assert await said(stream, b"hello") == b"hello"


async def test_a_cut_ends_every_connection_until_it_is_mended() -> None:
    async with echoing() as (relay, echo), await connected(relay) as stream:
        assert await said(stream, b"hello") == b"hello"
        relay.cut()
        assert await stream.receive_some() == b""
        async with await connected(relay) as refused:
            assert await said(refused, b"again") == b""
        assert (echo.clients, echo.ended) == (1, 1)
        relay.mend()
        async with await connected(relay) as new:
            assert await said(new, b"again") == b"again"


async def test_who_connects_in_the_moment_of_a_cut_is_not_left_waiting() -> None:
    async with echoing() as (relay, _):
        for _ in range(100):
            async with await connected(relay) as stream:
                relay.cut()
                assert await said(stream, b"anybody?") == b""
                relay.mend()


async def test_in_silence_nothing_passes_and_the_server_keeps_whom_it_does_not_hear_leave() -> None:
    async with echoing() as (relay, echo), await connected(relay) as stream:
        async with await connected(relay) as leaving:
            for each in (stream, leaving):
                assert await said(each, b"hello") == b"hello"
            relay.silence()
        with pytest.raises(trio.TooSlowError), trio.fail_after(SILENCE_S):
            await said(stream, b"anybody?")
        assert echo.ended == 0
        relay.mend()
        assert await stream.receive_some() == b"", "it has missed something, so it ends"
        async with await connected(relay) as new:
            assert await said(new, b"again") == b"again"
        await eventually(lambda: echo.ended >= 2, "the server has heard of it, too")


async def test_a_slow_link_takes_its_time_in_both_directions() -> None:
    async with echoing() as (relay, _), await connected(relay) as stream:
        relay.slow(Pace(delay_s=0.1))
        began_at = time.monotonic()
        assert await said(stream, b"hello") == b"hello"
        assert time.monotonic() - began_at >= 0.2
        relay.mend()
        assert await said(stream, b"again") == b"again"


@pytest.mark.parametrize(
    ("server_url", "url"),
    [
        ("unix:///run/valkey.sock?db=0", "redis://127.0.0.1:7/0"),
        ("postgresql://postgres@/game?host=%2Frun%2Fpostgres", "postgresql://postgres@127.0.0.1:7/game"),
        ("ws://127.0.0.1:8100/ws", "ws://127.0.0.1:7/ws"),
    ],
)
def test_the_way_through_the_relay_is_a_url_of_the_same_kind(server_url: str, url: str) -> None:
    assert relayed(server_url, 7) == url
