"""However a connection ends, and whatever went through it: no descriptor is left behind, and no memory."""

import gc
import tracemalloc
from contextlib import AsyncExitStack

import pytest

from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from tests.net.edge_stage import BEARER, Echo, open_descriptors
from tests.net.raw_client import connected, goodbye, masked, request, text

TOO_LARGE = text_frame(bytes(8_000_000))
"""More than the kernel and OUTGOING_LIMIT_BYTES take together."""

LARGE = text_frame(bytes(6_000_000))
"""More than the kernel takes, and less than both do."""

OUTGOING_LIMIT_BYTES = 3_900_000
IDLE = 10
KEPT_WHILE_IDLE_BYTES = 10_000


async def no_word(client, endpoint):
    pass


async def reset(client, endpoint):
    await client.reset()


async def half_close(client, endpoint):
    await client.half_close()
    await client.close_code()


async def goodbye_of_the_client(client, endpoint):
    await client.send(goodbye(1000))
    assert await client.close_code() == 1000


async def goodbye_and_gone(client, endpoint):
    await client.send(text("last words") + goodbye(1000))


async def violation(client, endpoint):
    await client.send(masked(3, b""))
    assert await client.close_code() == CloseCode.PROTOCOL_ERROR.code


async def violation_and_gone(client, endpoint):
    await client.send(b"\xff" * 10)


async def close_of_the_endpoint(client, endpoint):
    endpoint.connection.close(CloseCode.DISCONNECTED)
    assert await client.close_code() == CloseCode.DISCONNECTED.code


async def close_that_is_not_answered(client, endpoint):
    endpoint.connection.close(CloseCode.DISCONNECTED)
    await client.stream.receive_some()


async def cut_by_the_edge(client, endpoint):
    endpoint.connection.send(TOO_LARGE)


async def backlog_left_behind(client, endpoint):
    endpoint.connection.send(LARGE)


WAYS_TO_END = (
    no_word,
    reset,
    half_close,
    goodbye_of_the_client,
    goodbye_and_gone,
    violation,
    violation_and_gone,
    close_of_the_endpoint,
    close_that_is_not_answered,
    cut_by_the_edge,
    backlog_left_behind,
)


@pytest.mark.parametrize("way", WAYS_TO_END, ids=lambda way: way.__name__)
async def test_however_a_connection_ends_its_descriptor_is_given_back(serving, way):
    async with serving(close_deadline_ms=60_000, outgoing_limit_bytes=OUTGOING_LIMIT_BYTES) as stage:
        before = open_descriptors()
        for _ in range(10):
            async with stage.client() as (client, endpoint):
                await way(client, endpoint)
            await stage.until_empty()
        assert open_descriptors() == before
        assert (stage.counters.connections_total, stage.counters.bytes_buffered) == (10, 0)


@pytest.mark.parametrize("said", [b"", request()[:40], request(), request("/", BEARER), b"\x00\r\n\r\n"])
async def test_whatever_was_said_of_the_handshake_the_descriptor_is_given_back(serving, said):
    async with serving(close_deadline_ms=60_000) as stage:
        before = open_descriptors()
        for n in range(10):
            async with connected(stage.port, handshake=False) as client:
                await client.send(said)
                if n % 2:
                    await stage.until(lambda n=n: stage.counters.connections_total == n + 1)
        await stage.until(lambda: stage.counters.connections_total == 10)
        await stage.until_empty()
        assert open_descriptors() == before


async def test_nothing_is_remembered_of_those_who_have_gone(serving):
    async with serving(outgoing_limit_bytes=OUTGOING_LIMIT_BYTES) as stage:
        for way in WAYS_TO_END:
            async with stage.client() as (client, endpoint):
                await way(client, endpoint)
        await stage.until_empty()
        kind = type(endpoint.connection)
        del endpoint
        stage.endpoints.clear()
        gc.collect()
        assert not any(type(each) is kind for each in gc.get_objects())


async def test_an_idle_connection_keeps_nothing_of_what_went_through_it(serving):
    """Long messages, fragments, control frames, a backlog: afterwards each holds as much memory as before."""
    busy = text("x" * 60_000) + masked(1, b"x" * 60_000, fin=False) + masked(9, b"?" * 125) + masked(0, b"x" * 5_000)
    long_frame = text_frame(b"x" * 500_000)

    async with serving(Forgetful, outgoing_limit_bytes=20_000_000) as stage, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(stage.deaf()) for _ in range(IDLE)]

        async def exchange(client, endpoint):
            await client.send(busy)
            assert (await client.frame())[0] == 10
            for _ in range(stage.fill(endpoint, 1, long_frame)):
                await client.frame()
            client.buffer = bytearray()
            await stage.until(lambda: stage.counters.bytes_buffered == 0)

        tracemalloc.start()
        try:
            await exchange(*crowd[0])
            before = allocated_bytes()
            for client, endpoint in crowd[1:]:
                await exchange(client, endpoint)
            assert allocated_bytes() - before < (IDLE - 1) * KEPT_WHILE_IDLE_BYTES
        finally:
            tracemalloc.stop()


def allocated_bytes():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


class Forgetful(Echo):
    def on_text(self, data):
        self._check(data)

    def on_congested(self):
        pass

    def on_drained(self):
        pass
