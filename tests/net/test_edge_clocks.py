"""What an edge does because time has passed: pings, silence, tokens that run out."""

import time

import trio

from gameserver.protocol.close_codes import CloseCode
from tests.net.edge_stage import bearer
from tests.net.raw_client import connected, masked, text

TEXT, PING, PONG = 1, 9, 10


async def test_silent_clients_are_pinged_and_dead_ones_closed(serving):
    async with (
        serving(ping_interval_ms=100, idle_deadline_ms=700) as stage,
        stage.client() as (alive, _),
        stage.client() as (dead, _),
    ):
        start = trio.current_time()
        while trio.current_time() - start < 0.9:
            assert await alive.frame() == (PING, b"")
            await alive.send(masked(PONG, b""))
        assert await dead.close_code() == CloseCode.IDLE.code
        await alive.send(text("still here"))
        while (frame := await alive.frame())[0] == PING:
            pass
        assert frame == (TEXT, b"still here")


async def test_pings_keep_their_interval(serving):
    async with serving(ping_interval_ms=100, idle_deadline_ms=60_000) as stage, stage.client() as (client, _):
        start = trio.current_time()
        for _ in range(3):
            assert await client.frame() == (PING, b"")
        assert 0.28 <= trio.current_time() - start < 2


async def test_who_talks_is_not_pinged(serving):
    async with serving(ping_interval_ms=300, idle_deadline_ms=600) as stage, stage.client() as (client, _):
        for n in range(12):
            await trio.sleep(0.03)
            await client.send(text(str(n)))
            assert await client.frame() == (TEXT, str(n).encode())


async def test_half_a_frame_is_a_sign_of_life_too(serving):
    async with serving(ping_interval_ms=60_000, idle_deadline_ms=500) as stage, stage.client() as (client, _):
        for byte in text("slowly"):
            await trio.sleep(0.05)
            await client.send(bytes((byte,)))
        assert await client.frame() == (TEXT, b"slowly")


async def test_a_token_that_runs_out_closes_the_connection(serving):
    soon = int(time.time()) + 2
    async with serving() as stage, connected(stage.port, "/", bearer(soon)) as client, stage.client() as (other, _):
        assert await client.close_code() == CloseCode.TOKEN_EXPIRED.code
        assert time.time() >= soon
        await other.send(text("another token"))
        assert await other.frame() == (TEXT, b"another token")
