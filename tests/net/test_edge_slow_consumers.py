"""A client that takes less than is sent to it: it costs a bounded buffer and no other client anything."""

import time

import pytest
import trio

from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from tests.net.edge_stage import BIG_BACKLOG, Echo
from tests.net.raw_client import masked, text

TEXT, PONG = 1, 10
CLOSE_FRAME_BYTES = 127
A_WHILE_S = 0.2


async def test_a_client_that_does_not_read_is_closed_and_harms_nobody(serving):
    async with (
        serving(outgoing_limit_bytes=100_000, close_deadline_ms=5_000) as stage,
        stage.deaf() as (deaf, victim),
    ):
        async with stage.client() as (other, _):
            frame, most = text_frame(b"x" * 1_000), 0
            for n in range(10_000):
                victim.connection.send(frame)
                most = max(most, stage.counters.bytes_buffered)
                if n % 500 == 0:
                    await other.send(text(str(n)))
                    assert await other.frame() == (TEXT, str(n).encode())
            assert 0 < most <= 100_000 + CLOSE_FRAME_BYTES
            assert stage.counters.slow_consumers_total == 1
        # It gets all that was kept for it, whole, and is told why, if it begins to read in time.
        assert await deaf.close_code() == CloseCode.SLOW_CONSUMER.code


async def test_a_deaf_client_is_cut_when_the_deadline_has_come(serving):
    async with serving(outgoing_limit_bytes=100_000) as stage, stage.deaf() as (_, victim):
        for _ in range(5_000):
            victim.connection.send(text_frame(b"x" * 1_000))
        await stage.until_empty()
        assert stage.counters.bytes_buffered == 0


async def test_one_send_that_is_too_large_by_itself_cuts_the_connection(serving):
    """The kernel has taken a part of the frame: nothing sensible can be said any more."""
    async with serving(outgoing_limit_bytes=1_000) as stage, stage.deaf() as (client, victim):
        victim.connection.send(text_frame(b"x" * 50_000_000))
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await client.frame()
        assert stage.counters.slow_consumers_total == 1


async def test_frames_keep_their_order_while_they_wait(serving):
    async with serving(**BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        sent = 0
        while stage.counters.bytes_buffered < 3_000_000:
            endpoint.connection.send(text_frame(str(sent).encode().ljust(sent % 3_000 + 10)))
            sent += 1
        for n in range(sent):
            opcode, payload = await client.frame()
            assert (opcode, int(payload), len(payload)) == (TEXT, n, n % 3_000 + 10)
            if n % 100 == 0:
                endpoint.connection.send(text_frame(str(sent + n // 100).encode()))
        for n in range(0, sent, 100):
            assert await client.frame() == (TEXT, str(sent + n // 100).encode())


async def test_control_frames_never_cut_into_others(serving):
    """A slow reader makes the kernel take parts of frames only, while pings ask for pongs in between."""
    async with serving(**BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        rounds = 150

        async def push():
            for n in range(rounds):
                endpoint.connection.send(text_frame(str(n).encode().ljust(30_000)) * 2)
                await client.send(masked(9, str(n).encode()))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            texts, pongs = [], []
            while len(texts) < 2 * rounds or len(pongs) < rounds:
                opcode, payload = await client.frame()
                (texts if opcode == TEXT else pongs).append(int(payload))
        assert texts == [n for n in range(rounds) for _ in range(2)]
        assert pongs == list(range(rounds))


async def test_when_nothing_waits_any_more_it_costs_nothing_any_more(serving):
    async with serving(**BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        for _ in range(stage.fill(endpoint, 1)):
            await client.frame()
        await stage.until(lambda: stage.counters.bytes_buffered == 0)
        cpu = time.process_time()
        await trio.sleep(A_WHILE_S)
        assert time.process_time() - cpu < A_WHILE_S / 2


# -- what the endpoint hears of it ---------------------------------------------------------------------------------


async def test_an_endpoint_hears_once_that_much_waits_and_once_that_nothing_waits_any_more(serving):
    async with (
        serving(congestion_bytes=50_000, **BIG_BACKLOG) as stage,
        stage.deaf() as (client, endpoint),
    ):
        for times in (1, 2):
            sent = stage.fill(endpoint, 1)
            assert endpoint.life == ["open"] + ["congested", "drained"] * (times - 1)
            while stage.counters.bytes_buffered < 200_000:
                sent += stage.fill(endpoint, stage.counters.bytes_buffered + 1)
                assert (endpoint.life[-1] == "congested") == (stage.counters.bytes_buffered > 50_000)
            for _ in range(sent):
                assert await client.frame() == (TEXT, b"x" * 1_000)
            await stage.until(lambda: endpoint.life[-1] == "drained")
            assert endpoint.life == ["open"] + ["congested", "drained"] * times
            assert stage.counters.bytes_buffered == 0


async def test_a_little_that_waits_is_not_worth_a_word(serving):
    async with serving(congestion_bytes=500_000, **BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        for _ in range(stage.fill(endpoint, 50_000)):
            assert (await client.frame())[0] == TEXT
        await stage.until(lambda: stage.counters.bytes_buffered == 0)
        assert endpoint.life == ["open"]


class Resends(Echo):
    """As a session does: what it held back while much waited, it says when nothing waits any more."""

    def on_drained(self):
        super().on_drained()
        for n in range(3):
            self.connection.send(text_frame(f"held back {n}".encode()))


async def test_an_endpoint_may_speak_when_nothing_waits_any_more(serving):
    async with serving(Resends, congestion_bytes=50_000, **BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        for _ in range(stage.fill(endpoint, 100_000)):
            assert await client.frame() == (TEXT, b"x" * 1_000)
        for n in range(3):
            assert await client.frame() == (TEXT, f"held back {n}".encode())
        assert endpoint.life == ["open", "congested", "drained"]


class GivesUp(Echo):
    def on_congested(self):
        super().on_congested()
        self.connection.close(CloseCode.MISSED_EVENTS)


async def test_an_endpoint_may_close_when_much_waits(serving):
    async with (
        serving(GivesUp, congestion_bytes=50_000, close_deadline_ms=5_000, **BIG_BACKLOG) as stage,
        stage.deaf() as (client, endpoint),
    ):
        for _ in range(5_000):
            endpoint.connection.send(text_frame(b"x" * 1_000))
        assert stage.counters.bytes_buffered < 60_000
        assert await client.close_code() == CloseCode.MISSED_EVENTS.code
        await stage.until_closed()
        assert endpoint.life == ["open", "congested", "close"]


class FailsUnderPressure(Echo):
    at = ""

    def on_congested(self):
        super().on_congested()
        assert self.at != "congested", "a fault of the endpoint"

    def on_drained(self):
        super().on_drained()
        assert self.at != "drained", "a fault of the endpoint"


async def listen(client):
    while True:
        await client.frame()


@pytest.mark.parametrize("moment", ["congested", "drained"])
async def test_an_endpoint_that_fails_under_pressure_ends_its_connection_only_and_send_does_not_raise(serving, moment):
    class FailsThen(FailsUnderPressure):
        at = moment

    async with (
        serving(FailsThen, faults=1, congestion_bytes=50_000, **BIG_BACKLOG) as stage,
        stage.client() as (other, _),
        stage.deaf() as (client, endpoint),
    ):
        for _ in range(5_000):
            endpoint.connection.send(text_frame(b"x" * 1_000))
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await listen(client)
        await stage.until_connections(1)
        await other.send(text("undisturbed"))
        assert await other.frame() == (TEXT, b"undisturbed")


# -- how long it may take ------------------------------------------------------------------------------------------


async def test_who_takes_nothing_for_too_long_is_closed_as_too_slow(serving):
    async with (
        serving(slow_consumer_deadline_ms=200, close_deadline_ms=5_000, **BIG_BACKLOG) as stage,
        stage.deaf() as (deaf, endpoint),
    ):
        stage.fill(endpoint, 1)
        start = trio.current_time()
        await stage.until(lambda: stage.counters.slow_consumers_total == 1)
        assert trio.current_time() - start >= 0.18
        assert await deaf.close_code() == CloseCode.SLOW_CONSUMER.code
        assert stage.counters.slow_consumers_total == 1


async def test_who_takes_a_little_now_and_then_is_not_too_slow(serving):
    async with (
        serving(slow_consumer_deadline_ms=400, **BIG_BACKLOG) as stage,
        stage.deaf() as (client, endpoint),
    ):
        sent = stage.fill(endpoint, 10_000_000, text_frame(b"x" * 1_000_000))
        start = trio.current_time()
        for _ in range(sent):
            await trio.sleep(0.05)
            assert (await client.frame())[0] == TEXT
        assert trio.current_time() - start > 0.4
        assert stage.counters.slow_consumers_total == 0


async def test_who_has_taken_all_is_not_too_slow_however_long_ago(serving):
    async with (
        serving(slow_consumer_deadline_ms=100, **BIG_BACKLOG) as stage,
        stage.deaf() as (client, endpoint),
    ):
        for _ in range(stage.fill(endpoint, 1)):
            await client.frame()
        await trio.sleep(0.3)
        await client.send(text("still here"))
        assert await client.frame() == (TEXT, b"still here")
        assert stage.counters.slow_consumers_total == 0
