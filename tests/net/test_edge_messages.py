"""What a client may send and what it must not: every message arrives whole, and a violation is told by its code."""

import pytest
import trio
import trio.testing

from gameserver.protocol.close_codes import CloseCode
from tests.net.edge_stage import BIG_BACKLOG, Echo
from tests.net.raw_client import MASK, goodbye, header, masked, text

LIMIT_BYTES = 65_536
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
INVALID = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_TEXT, CloseCode.MESSAGE_TOO_BIG)


async def test_messages_come_back_in_order(serving):
    async with serving() as stage, stage.client() as (client, _):
        await client.send(b"".join(text(f"message {n}") for n in range(500)))
        for n in range(500):
            assert await client.frame() == (TEXT, f"message {n}".encode())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, LIMIT_BYTES])
async def test_messages_of_every_kind_of_length_arrive(serving, size):
    async with serving() as stage, stage.client() as (client, endpoint):
        await client.send(masked(TEXT, b"x" * size) + masked(BINARY, b"\xff" * size) + text("next"))
        assert await client.frame() == (TEXT, b"x" * size)
        assert await client.frame() == (TEXT, b"next")
        assert endpoint.binaries == [b"\xff" * size]


async def test_messages_may_come_byte_by_byte(serving):
    sent = text("zwölf") + masked(TEXT, b"x" * 130) + masked(PING, b"?") + masked(BINARY, b"\x00\xff") + text("end")
    async with serving() as stage, stage.client() as (client, endpoint):
        for byte in sent:
            await client.send(bytes((byte,)))
            await trio.testing.wait_all_tasks_blocked()
        assert [await client.frame() for _ in range(4)] == [
            (TEXT, "zwölf".encode()),
            (TEXT, b"x" * 130),
            (PONG, b"?"),
            (TEXT, b"end"),
        ]
        assert endpoint.binaries == [b"\x00\xff"]


async def test_fragments_of_a_message_come_together_and_pings_do_not_wait_for_them(serving):
    async with serving() as stage, stage.client() as (client, endpoint):
        await client.send(masked(TEXT, b"one ", fin=False) + masked(PING, b"now") + masked(0, b"", fin=False))
        assert await client.frame() == (PONG, b"now")
        assert endpoint.texts == []
        await client.send(masked(PONG, b"unasked") + masked(0, "zwölf".encode()) + text("whole"))
        assert await client.frame() == (TEXT, "one zwölf".encode())
        assert await client.frame() == (TEXT, b"whole")


async def test_a_character_may_be_cut_by_the_end_of_a_fragment(serving):
    async with serving() as stage, stage.client() as (client, _):
        for cut in range(1, 4):
            await client.send(masked(TEXT, "🎲".encode()[:cut], fin=False) + masked(0, "🎲".encode()[cut:]))
            assert await client.frame() == (TEXT, "🎲".encode())


async def test_binary_messages_are_the_business_of_the_endpoint(serving):
    async with serving() as stage, stage.client() as (client, endpoint):
        await client.send(masked(BINARY, b"\xff\xfe"))
        await client.send(masked(BINARY, b"\xff", fin=False) + masked(PING, b"") + masked(0, b"\x00") + text("next"))
        assert await client.frame() == (PONG, b"")
        assert await client.frame() == (TEXT, b"next")
        assert endpoint.binaries == [b"\xff\xfe", b"\xff\x00"]


class ClosesOnBinary(Echo):
    def on_binary(self, data):
        super().on_binary(data)
        self.connection.close(CloseCode.UNSUPPORTED_DATA)


async def test_what_follows_a_close_of_the_endpoint_is_not_heard(serving):
    async with serving(ClosesOnBinary) as stage, stage.client() as (client, endpoint):
        await client.send(
            text("before") + masked(BINARY, b"1") + text("after") + masked(BINARY, b"2") + masked(PING, b"")
        )
        assert await client.frame() == (TEXT, b"before")
        assert (await client.frame())[0] == CLOSE
        await client.send(text("still talking"))
        assert await client.close_code() is None
        await stage.until_closed()
        assert (endpoint.texts, endpoint.binaries) == ([b"before"], [b"1"])


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00\xff" * 62 + b"."])
async def test_a_ping_is_answered_with_what_it_said(serving, payload):
    async with serving() as stage, stage.client() as (client, _):
        await client.send(masked(PING, payload) + masked(PONG, payload) + masked(PING, b"last"))
        assert await client.frame() == (PONG, payload)
        assert await client.frame() == (PONG, b"last")


VIOLATIONS = {
    "unmasked": (b"\x81\x01x", CloseCode.PROTOCOL_ERROR),
    "an unmasked ping": (b"\x89\x00", CloseCode.PROTOCOL_ERROR),
    **{
        f"reserved bits {bits:03b} in a frame {opcode}": (
            masked(opcode, b"x", reserved=bits),
            CloseCode.PROTOCOL_ERROR,
        )
        for bits in range(1, 8)
        for opcode in (TEXT, PING)
    },
    **{
        f"reserved opcode {opcode}": (masked(opcode, b""), CloseCode.PROTOCOL_ERROR)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "a ping in fragments": (masked(PING, b"", fin=False), CloseCode.PROTOCOL_ERROR),
    "a ping too long": (masked(PING, b"x" * 126), CloseCode.PROTOCOL_ERROR),
    "a ping announced too long": (header(0x80 | PING, 70_000) + MASK, CloseCode.PROTOCOL_ERROR),
    "a close frame too long": (goodbye(1000, b"x" * 124), CloseCode.PROTOCOL_ERROR),
    "a continuation of nothing": (masked(0, b"continued"), CloseCode.PROTOCOL_ERROR),
    "a last continuation too many": (
        masked(BINARY, b"1", fin=False) + masked(0, b"2") + masked(0, b"3"),
        CloseCode.PROTOCOL_ERROR,
    ),
    "a message within another": (masked(TEXT, b"1", fin=False) + masked(TEXT, b"2"), CloseCode.PROTOCOL_ERROR),
    "a length in two bytes without need": (b"\x81\xfe\x00\x7d" + MASK + b"x" * 125, CloseCode.PROTOCOL_ERROR),
    "a length in eight bytes without need": (b"\x81\xff" + bytes(6) + b"\xff\xff" + MASK, CloseCode.PROTOCOL_ERROR),
    "not UTF-8": (masked(TEXT, b"\xff\xfe"), CloseCode.INVALID_TEXT),
    "not UTF-8 at the end": (masked(TEXT, b"x" * 200 + b"\xc3"), CloseCode.INVALID_TEXT),
    "a surrogate": (masked(TEXT, b"\xed\xa0\x80"), CloseCode.INVALID_TEXT),
    "an overlong character": (masked(TEXT, b"\xc0\x80"), CloseCode.INVALID_TEXT),
    "a character beyond Unicode": (masked(TEXT, b"\xf4\x90\x80\x80"), CloseCode.INVALID_TEXT),
    "not UTF-8 across fragments": (masked(TEXT, b"\xc3", fin=False) + masked(0, b"\x28"), CloseCode.INVALID_TEXT),
    "a character never ended": (masked(TEXT, b"\xf0\x9f", fin=False) + masked(0, b""), CloseCode.INVALID_TEXT),
    "not UTF-8 before the message ends": (masked(TEXT, b"\xff", fin=False), CloseCode.INVALID_TEXT),
    "too long": (masked(TEXT, b"x" * (LIMIT_BYTES + 1)), CloseCode.MESSAGE_TOO_BIG),
    "too long in bytes, not in characters": (masked(TEXT, "ä".encode() * 40_000), CloseCode.MESSAGE_TOO_BIG),
    "binary too long": (masked(BINARY, b"x" * (LIMIT_BYTES + 1)), CloseCode.MESSAGE_TOO_BIG),
    "too long in many fragments": (
        masked(TEXT, b"x" * 100, fin=False) + masked(0, b"x" * 100, fin=False) * 700,
        CloseCode.MESSAGE_TOO_BIG,
    ),
    "too long before it is all there": (
        header(0x81, 2**40) + masked(TEXT, b"x" * (LIMIT_BYTES + 10_000))[10:],
        CloseCode.MESSAGE_TOO_BIG,
    ),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_what_is_not_a_message_closes_the_connection(serving, data, code):
    """What came before is heard, what comes after is not; the close frame is the last thing that the client hears."""
    async with serving() as stage, stage.client() as (client, endpoint):
        await client.send(text("before") + data + text("not heard any more") + masked(PING, b"neither"))
        assert await client.frame() == (TEXT, b"before")
        assert await client.close_code() == code.code
        await stage.until_closed()
        assert endpoint.texts == [b"before"]


@pytest.mark.parametrize("first", [0x81, 0x82, 0x01])
async def test_a_length_with_its_highest_bit_set_is_refused_at_once(serving, first):
    async with serving() as stage, stage.client() as (client, _):
        await client.send(header(first, 2**63 + 1) + MASK)
        assert await client.close_code() in {code.code for code in INVALID}


@pytest.mark.parametrize("data", [b"\x81", b"\x81\x85", text("hello")[:-3], b"\x81\xfe\x01", b"\x82\xff" + bytes(7)])
async def test_half_a_frame_is_waited_for(serving, data):
    async with serving() as stage, stage.client() as (client, endpoint):
        await client.send(text("before") + data)
        assert await client.frame() == (TEXT, b"before")
        await trio.testing.wait_all_tasks_blocked()
        assert endpoint.life == ["open"]
        await client.half_close()
        await stage.until_closed()
        assert endpoint.texts == [b"before"]


async def test_a_client_that_sends_without_end_does_not_keep_others_waiting(serving):
    async with (
        serving(**BIG_BACKLOG) as stage,
        stage.client() as (loud, _),
        stage.client() as (other, _),
        trio.open_nursery() as nursery,
    ):

        async def shout():
            while True:
                await loud.send(text("x" * 10_000) * 100)

        async def listen():
            while True:
                await loud.frame()

        nursery.start_soon(shout)
        nursery.start_soon(listen)
        for n in range(20):
            await other.send(text(str(n)))
            assert await other.frame() == (TEXT, str(n).encode())
        nursery.cancel_scope.cancel()
