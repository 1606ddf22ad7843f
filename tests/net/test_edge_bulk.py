"""What many clients are told together: they get the same as if it had been sent to each by itself."""

from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio

from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from gameserver.protocol.session import WRITES_AT_ONCE
from gameserver.turns import strides
from tests.net.edge_stage import BIG_BACKLOG

TEXT = 1
CROWD = 2 * WRITES_AT_ONCE + 3
"""More than go to the kernel at once."""
PAVING = text_frame(b"x" * 14)
"""Of a size that leaves no gap in the kernel's memory."""


@pytest.fixture(params=["auto", "off"])
def either_way(serving, request):
    """Each transport with a ring, where the kernel gives us one, and without."""
    return partial(serving, io_uring=request.param)


async def clients(stack, stage, count):
    return [await stack.enter_async_context(stage.client()) for _ in range(count)]


def tell(told):
    """All of them, as many in one bulk as may be."""
    writes = [(endpoint.connection, frames) for endpoint, frames in told]
    for some in strides(writes, WRITES_AT_ONCE):
        some[0][0].bulk.send(some)


async def test_a_crowd_gets_all_that_is_sent_in_bulk(either_way):
    async with either_way() as stage, AsyncExitStack() as stack:
        crowd = await clients(stack, stage, CROWD)
        for n in range(3):
            same = text_frame(b"for everybody")
            tell(
                (endpoint, same if n == 1 else text_frame(b"%d of %d" % (n, i)))
                for i, (_, endpoint) in enumerate(crowd)
            )
        for number, (client, _) in enumerate(crowd):
            said = [await client.frame() for _ in range(3)]
            assert said == [(TEXT, text.encode()) for text in (f"0 of {number}", "for everybody", f"2 of {number}")]


async def test_who_takes_only_a_part_gets_the_rest_in_order(either_way):
    async with either_way(**BIG_BACKLOG) as stage, stage.deaf() as (slow, victim), stage.client() as (other, endpoint):
        sent = 0
        while stage.counters.bytes_buffered < 1_000_000:
            text = text_frame(str(sent).encode().ljust(sent % 30_000 + 10))
            tell([(victim, text), (endpoint, text)])
            sent += 1
            assert int((await other.frame())[1]) == sent - 1
        for n in range(sent):
            opcode, payload = await slow.frame()
            assert (opcode, int(payload), len(payload)) == (TEXT, n, n % 30_000 + 10)


async def test_texts_of_either_type_keep_their_order(either_way):
    async with either_way() as stage, stage.client() as (client, endpoint), stage.client() as (_, other):
        for n, kind in enumerate((bytes, bytearray, bytes)):
            text = kind(text_frame(b"%d" % n))
            tell([(other, text), (endpoint, text)])
        assert [await client.frame() for _ in range(3)] == [(TEXT, b"%d" % n) for n in range(3)]


async def test_a_socket_that_takes_nothing_gets_it_later(either_way):
    async with either_way(**BIG_BACKLOG) as stage, stage.deaf() as (slow, victim), stage.client() as (_, other):
        sent = fill_to_the_brim(victim.connection)
        tell([(victim, text_frame(b"last")), (other, text_frame(b"last"))])
        for _ in range(sent):
            assert await slow.frame() == (TEXT, b"x" * 14)
        assert await slow.frame() == (TEXT, b"last")


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_who_is_sent_too_much_in_bulk_is_told_why(either_way, kind):
    limit = 100_000
    async with (
        either_way(outgoing_limit_bytes=limit) as stage,
        stage.deaf() as (slow, victim),
        stage.client() as (client, other),
    ):
        sent = fill_to_the_brim(victim.connection)
        tell([(victim, kind(text_frame(b"y" * (limit + 1)))), (other, text_frame(b"to others"))])
        assert await client.frame() == (TEXT, b"to others")
        for _ in range(sent):
            assert await slow.frame() == (TEXT, b"x" * 14)
        assert await slow.close_code() == CloseCode.SLOW_CONSUMER.code


async def test_who_is_being_closed_is_told_nothing_more(either_way):
    async with either_way() as stage, stage.client() as (client, endpoint), stage.client() as (_, other):
        tell([(endpoint, text_frame(b"farewell")), (other, text_frame(b"farewell"))])
        endpoint.connection.close(CloseCode.GOING_AWAY)
        tell([(endpoint, text_frame(b"too late")), (other, text_frame(b"too late"))])
        assert await client.frame() == (TEXT, b"farewell")
        assert await client.close_code() == CloseCode.GOING_AWAY.code


def fill_to_the_brim(connection):
    """Past the edge, straight into the socket, until it takes nothing at all; returns how many frames that were."""
    sent = refused = 0
    while refused < 2:
        try:
            assert connection._socket.send(PAVING) == len(PAVING)
            sent, refused = sent + 1, 0
        except BlockingIOError:
            refused += 1
    return sent


async def test_long_texts_are_sent_whole_in_bulk_too(either_way):
    async with either_way(**BIG_BACKLOG) as stage, AsyncExitStack() as stack:
        crowd = await clients(stack, stage, 3)
        texts = [b"x" * 100, b"y" * 200_000, b"z" * 2_000_000]
        kinds = (bytes, bytearray, bytes)
        tell((endpoint, k(text_frame(data))) for k, (_, endpoint), data in zip(kinds, crowd, texts, strict=True))
        for (client, _), data in zip(crowd, texts, strict=True):
            assert await client.frame() == (TEXT, data)


async def test_who_has_gone_is_dropped_and_the_others_get_theirs(either_way):
    async with either_way() as stage, AsyncExitStack() as stack:
        crowd = await clients(stack, stage, 9)
        for client, _ in crowd[::2]:
            await client.reset()
        await trio.lowlevel.checkpoint()
        tell((endpoint, text_frame(b"who is there?")) for _, endpoint in crowd)
        for client, _ in crowd[1::2]:
            assert await client.frame() == (TEXT, b"who is there?")
        await stage.until_connections(4)


async def test_a_slow_client_in_the_bulk_hears_of_its_congestion_and_of_its_end(either_way):
    async with either_way(outgoing_limit_bytes=200_000, congestion_bytes=50_000) as stage:
        async with stage.deaf() as (_, victim), stage.client() as (other, endpoint):
            while stage.counters.slow_consumers_total == 0:
                tell((each, text_frame(b"x" * 10_000)) for each in (victim, endpoint))
                assert len((await other.frame())[1]) == 10_000
            assert victim.life[:2] == ["open", "congested"]
        await stage.until_empty()
