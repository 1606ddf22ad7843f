"""Whatever bytes come, cut wherever: no crash, no hang, no leak; what is heard is what the reference says.

FUZZ_EXAMPLES=20000 makes it thorough (see `make fuzz`). A failure shows the bytes, made as short as they get, and how
to repeat it.
"""

import os
import tracemalloc
from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings

from gameserver.net.frame_reader import FrameReader
from gameserver.net.opening import answer, request_end
from gameserver.net.transports import TRANSPORTS
from gameserver.protocol.close_codes import CloseCode
from tests.net import edge_stage
from tests.net.edge_stage import admit_by_token
from tests.net.frame_reference import TOO_BIG, expected
from tests.net.frame_strategies import LIMIT_BYTES, damaged_requests, in_pieces
from tests.net.raw_client import connected, masked, text

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
LESS_BY = 5
"""An example that goes through a socket takes so much longer."""

KEPT_BYTES = 10_000

thorough = settings(max_examples=EXAMPLES, deadline=None, database=None, print_blob=True)
through_sockets = settings(thorough, max_examples=EXAMPLES // LESS_BY)


# -- the hub's own parsers, without a socket -----------------------------------------------------------------------


class Receiver:
    def __init__(self):
        self.closing, self.outcome = False, None
        self.texts, self.binaries, self.pongs = [], [], []

    def on_text(self, data):
        assert not self.closing
        self.texts.append(data)

    def on_binary(self, data):
        assert not self.closing
        self.binaries.append(data)

    def on_ping(self, pong):
        assert not self.closing
        self.pongs.append(pong)

    def on_goodbye(self, answer):
        assert answer[0] == 0x88
        self._end(int.from_bytes(answer[2:4], "big"))

    def on_violation(self, code):
        assert code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_TEXT, CloseCode.MESSAGE_TOO_BIG)
        self._end(code.code)

    def _end(self, outcome):
        assert not self.closing
        self.closing, self.outcome = True, outcome


@thorough
@given(pieces=in_pieces())
@example(pieces=[text("x" * LIMIT_BYTES) + text("x" * (LIMIT_BYTES + 1))])
def test_the_reader_hears_what_the_reference_hears(pieces):
    receiver, reader = Receiver(), FrameReader(LIMIT_BYTES)
    for piece in pieces:
        reader.feed(piece, receiver.on_text, receiver)
    wanted = expected(b"".join(pieces), LIMIT_BYTES)
    assert receiver.outcome in wanted.outcomes
    assert receiver.closing or TOO_BIG not in wanted.outcomes  # it believes what is announced
    assert (receiver.texts, receiver.binaries) == (wanted.texts, wanted.binaries)
    assert receiver.pongs == [b"\x8a" + bytes((len(ping),)) + ping for ping in wanted.pings[: len(receiver.pongs)]]
    assert receiver.closing or len(receiver.pongs) == len(wanted.pings)


def test_the_reader_keeps_nothing_of_fragments_without_end():
    receiver, reader = Receiver(), FrameReader(LIMIT_BYTES)
    nothings = masked(0, b"", fin=False) * 1_000
    reader.feed(masked(1, b"", fin=False) + nothings, receiver.on_text, receiver)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            reader.feed(nothings, receiver.on_text, receiver)
        assert receiver.closing or tracemalloc.get_traced_memory()[0] - before < KEPT_BYTES
    finally:
        tracemalloc.stop()


@thorough
@given(request=damaged_requests)
def test_whatever_asks_to_get_in_is_answered(request):
    end = request_end(request)
    if end is not None:
        answered = answer(request[:end], admit_by_token)
        status = int(answered.answer.split()[1])
        assert answered.answer.startswith(b"HTTP/1.1 ")
        assert (status == 101) == (answered.admission is not None)
        assert answered.admission is not None or 400 <= status < 500


# -- both transports -----------------------------------------------------------------------------------------------


async def converse(serve, pieces):
    """What the endpoint heard, what the client heard; the stage sees to it that nothing is left."""
    async with edge_stage.serving(serve, message_limit_bytes=LIMIT_BYTES) as stage:
        async with stage.client() as (client, endpoint):
            with suppress(trio.BrokenResourceError):  # the edge has hung up: so be it
                for piece in pieces:
                    await client.send(piece)
                    await trio.testing.wait_all_tasks_blocked()
                await client.half_close()
            outcome = await client.close_code()
        await stage.until_empty()
    return endpoint, outcome


@pytest.mark.parametrize("serve", TRANSPORTS.values(), ids=TRANSPORTS)
@through_sockets
@given(pieces=in_pieces())
def test_a_transport_hears_what_the_reference_hears(serve, pieces):
    endpoint, outcome = trio.run(converse, serve, pieces)
    wanted = expected(b"".join(pieces), LIMIT_BYTES)
    assert outcome in wanted.outcomes
    assert (endpoint.texts, endpoint.binaries) == (wanted.texts, wanted.binaries)


async def knock(serve, pieces):
    async with edge_stage.serving(serve) as stage:
        async with connected(stage.port, handshake=False) as client:
            with suppress(trio.BrokenResourceError):
                for piece in pieces:
                    await client.send(piece)
                    await trio.testing.wait_all_tasks_blocked()
                await client.half_close()
                while await client.stream.receive_some():
                    pass
        await stage.until(lambda: stage.counters.connections_total == 1)
        await stage.until_empty()
    return stage


@pytest.mark.parametrize("serve", TRANSPORTS.values(), ids=TRANSPORTS)
@through_sockets
@given(pieces=in_pieces(damaged_requests))
def test_whoever_knocks_gets_in_or_is_forgotten(serve, pieces):
    stage = trio.run(knock, serve, pieces)
    assert len(stage.endpoints) + stage.counters.handshakes_failed_total == 1
