"""Every way a connection ends: whoever begins it, nothing is lost, nothing spins and nobody waits for ever."""

import time

import pytest
import trio

from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from tests.net.edge_stage import BEARER, BIG_BACKLOG, Echo
from tests.net.raw_client import connected, goodbye, masked, text

TEXT, CLOSE = 1, 8
LONG = {"close_deadline_ms": 60_000}
"""What ends within a test's own deadline has not waited for this."""

PATIENCE_S = 3
"""Far above the deadlines of these tests, and far below LONG."""

IDLE_CPU = 0.5
"""Of one processor, and that is generous: a loop that spins takes all of it."""


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
async def test_the_client_may_close(serving, code):
    async with serving(**LONG) as stage, stage.client() as (client, endpoint):
        await client.send(text("last words") + goodbye(code, "so müde".encode()) + text("after the end"))
        assert await client.frame() == (TEXT, b"last words")
        opcode, payload = await client.frame()
        assert (opcode, payload[:2]) == (CLOSE, code.to_bytes(2, "big"))
        endpoint.connection.send(text_frame(b"too late"))
        with pytest.raises(EOFError):  # and not a reset connection
            await client.frame()
        await client.half_close()
        await stage.until_empty()
        assert endpoint.texts == [b"last words"]


async def test_the_client_may_close_without_a_code(serving):
    async with serving(**LONG) as stage, stage.client() as (client, _):
        await client.send(masked(8, b""))
        assert await client.frame() == (CLOSE, b"")
        assert await client.close_code() is None
        await stage.until_closed()


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535])
async def test_a_close_frame_with_a_wrong_code_is_a_violation(serving, code):
    async with serving(**LONG) as stage, stage.client() as (client, _):
        await client.send(goodbye(code))
        assert await client.close_code() == CloseCode.PROTOCOL_ERROR.code


async def test_a_close_frame_with_half_a_code_is_a_violation(serving):
    async with serving(**LONG) as stage, stage.client() as (client, _):
        await client.send(masked(8, b"\x03"))
        assert await client.close_code() == CloseCode.PROTOCOL_ERROR.code


async def test_a_close_frame_whose_reason_is_not_text_is_a_violation(serving):
    async with serving(**LONG) as stage, stage.client() as (client, _):
        await client.send(goodbye(1000, b"\xff\xfe"))
        assert await client.close_code() == CloseCode.INVALID_TEXT.code


async def test_a_close_frame_may_come_within_a_message(serving):
    async with serving(**LONG) as stage, stage.client() as (client, endpoint):
        await client.send(masked(1, b"half a mess", fin=False) + goodbye(1001))
        assert await client.close_code() == 1001
        await stage.until_closed()
        assert endpoint.texts == []


async def test_close_says_everything_before_it_and_nothing_after(serving):
    async with serving(**LONG) as stage, stage.client() as (client, endpoint):
        connection = endpoint.connection
        connection.send(text_frame(b"before"))
        connection.close(CloseCode.SESSION_REVOKED)
        connection.send(text_frame(b"after"))
        connection.close(CloseCode.NORMAL)
        await client.send(text("unheard") + masked(9, b"too late"))
        assert await client.frame() == (TEXT, b"before")
        code = CloseCode.SESSION_REVOKED
        assert await client.frame() == (CLOSE, code.code.to_bytes(2, "big") + code.reason.encode())
        await client.send(goodbye(code.code))
        await client.half_close()
        assert await client.close_code() is None
        await stage.until_empty()
        assert endpoint.texts == []


async def test_a_client_that_does_not_answer_a_close_is_cut_at_the_deadline(serving):
    async with serving() as stage, stage.client() as (_, endpoint):
        start = trio.current_time()
        endpoint.connection.close(CloseCode.DISCONNECTED)
        await stage.until_empty()
        assert 0.2 < trio.current_time() - start < PATIENCE_S


async def test_what_is_said_after_the_end_is_dropped(serving):
    async with serving(**LONG) as stage:
        async with stage.client() as (client, endpoint):
            await client.send(text("hello"))
            assert await client.frame() == (TEXT, b"hello")
        await stage.until_empty()
        for _ in range(3):
            endpoint.connection.send(text_frame(b"x" * 1_000_000))
            endpoint.connection.close(CloseCode.NORMAL)
        assert stage.counters.bytes_buffered == 0


class TalksToTheEnd(Echo):
    def on_close(self):
        super().on_close()
        self.connection.send(text_frame(b"farewell"))
        self.connection.close(CloseCode.NORMAL)


async def test_an_endpoint_may_speak_in_on_close_and_nothing_comes_of_it(serving):
    async with serving(TalksToTheEnd, **LONG) as stage, stage.client() as (client, _):
        await client.send(goodbye(1000))
        assert await client.close_code() == 1000
        await stage.until_empty()


class ClosesOnOpen(Echo):
    def on_open(self):
        super().on_open()
        self.connection.send(text_frame(b"no room"))
        self.connection.close(CloseCode.FLOOD)


async def test_an_endpoint_may_close_as_soon_as_it_is_open(serving):
    async with serving(ClosesOnOpen, **LONG) as stage, stage.client() as (client, endpoint):
        await client.send(text("unheard"))
        assert await client.frame() == (TEXT, b"no room")
        assert await client.close_code() == CloseCode.FLOOD.code
        await stage.until_empty()
        assert endpoint.texts == []


# -- clients that just go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [b"", text("last words"), text("last words")[:-3], masked(1, b"x", fin=False)])
async def test_a_client_that_says_no_more_is_noticed(serving, last):
    async with serving(**LONG) as stage, stage.client() as (client, endpoint):
        await client.send(last)
        await client.half_close()
        await stage.until_empty()
        assert endpoint.texts == ([b"last words"] if last == text("last words") else [])


@pytest.mark.parametrize("last", [b"", text("last words")[:-3], text("last words") * 100])
async def test_a_client_that_hangs_up_is_noticed(serving, last):
    async with serving(**LONG) as stage, stage.client() as (client, _):
        await client.send(last)
        await client.reset()
        await stage.until_empty()


@pytest.mark.parametrize("said", ["send", "close"])
async def test_speaking_to_a_client_that_has_just_gone_raises_nothing(serving, said):
    async with serving(**LONG) as stage, stage.client() as (client, endpoint):
        await client.reset()
        for _ in range(3):
            if said == "send":
                endpoint.connection.send(text_frame(b"are you there?"))
            else:
                endpoint.connection.close(CloseCode.NORMAL)
        await stage.until_empty()


@pytest.mark.parametrize("end", ["half_close", "reset", "close"])
async def test_a_client_that_goes_while_much_waits_for_it_ends_quickly_and_costs_nothing(serving, end):
    async with serving(close_deadline_ms=400, **BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        stage.fill(endpoint, 5_000_000)
        start, cpu = trio.current_time(), time.process_time()
        await {"half_close": client.half_close, "reset": client.reset, "close": client.stream.aclose}[end]()
        await stage.until_empty()
        took = trio.current_time() - start
        assert took < PATIENCE_S
        assert time.process_time() - cpu < 0.1 + IDLE_CPU * took
        assert stage.counters.bytes_buffered == 0


@pytest.mark.parametrize("end", ["half_close", "goodbye", "nothing"])
async def test_a_close_that_waits_behind_a_backlog_costs_nothing_and_has_a_deadline(serving, end):
    async with serving(close_deadline_ms=400, **BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        stage.fill(endpoint, 5_000_000)
        start, cpu = trio.current_time(), time.process_time()
        endpoint.connection.close(CloseCode.MISSED_EVENTS)
        if end == "half_close":
            await client.half_close()
        elif end == "goodbye":
            await client.send(goodbye(1000))
        await stage.until_empty()
        took = trio.current_time() - start
        assert took < PATIENCE_S
        assert time.process_time() - cpu < 0.1 + IDLE_CPU * took


async def talk_on(client):
    while True:
        await client.send(text("x" * 1_000))
        await trio.sleep(0.01)


async def test_a_client_that_talks_on_after_the_close_is_not_listened_to_for_ever(serving):
    async with serving() as stage, stage.client() as (client, endpoint):
        endpoint.connection.close(CloseCode.DISCONNECTED)
        start = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await talk_on(client)
        assert trio.current_time() - start < PATIENCE_S
        assert endpoint.texts == []


# -- endpoints that fail -------------------------------------------------------------------------------------------


class Fails(Echo):
    at = ""

    def on_open(self):
        super().on_open()
        self.fail_at("open")

    def on_text(self, data):
        super().on_text(data)
        self.fail_at(data.decode())

    def on_binary(self, data):
        super().on_binary(data)
        self.fail_at("binary")

    def on_close(self):
        super().on_close()
        self.fail_at("close")

    def fail_at(self, moment):
        if self.at == moment:
            raise RuntimeError("a fault of the endpoint")


@pytest.mark.parametrize("moment", ["open", "text", "binary", "close"])
async def test_a_fault_of_one_endpoint_ends_one_connection(serving, moment):
    class FailsThere(Fails):
        at = moment

    def first_good(admission, connection):
        first_good.calls += 1
        return (Echo if first_good.calls == 1 else FailsThere)(admission, connection)

    first_good.calls = 0
    async with serving(first_good, faults=1, **LONG) as stage, stage.client() as (good, _):
        async with stage.client() as (bad, endpoint):
            try:
                await bad.send(text("text") + masked(2, b"") + text("more") * 10)
                await bad.half_close()
                await bad.close_code()
            except trio.BrokenResourceError:
                pass  # it has failed already
            await stage.until_connections(1)
            assert len(endpoint.texts) == {"open": 0, "text": 1, "binary": 1, "close": 11}[moment]
        await good.send(text("fine"))
        assert await good.frame() == (TEXT, b"fine")


async def test_an_endpoint_that_cannot_be_opened_ends_one_connection(serving):
    def never(admission, connection):
        raise RuntimeError("a fault of whoever opens endpoints")

    async with serving(never, faults=1, **LONG) as stage:
        async with connected(stage.port, "/", BEARER) as client:
            assert await client.close_code() is None
        await stage.until_empty()
