"""How an edge starts, and how it stops: everybody is told, and nobody is waited for without end."""

import socket

import pytest
import trio
from attrs import evolve

from gameserver.errors import StartError
from gameserver.net.edge import EdgeCounters
from gameserver.net.transports import TRANSPORTS
from gameserver.protocol.close_codes import CloseCode
from tests.net.edge_stage import BASE, BIG_BACKLOG
from tests.net.raw_client import connected

TEXT, CLOSE = 1, 8
PATIENCE_S = 3
"""Far above the deadline for closing of these tests."""


async def test_stopping_tells_everybody_and_does_not_wait_for_ever(serving):
    async with serving() as stage, stage.client() as (client, _), connected(stage.port, handshake=False):
        await stage.until_connections(2)
        start = trio.current_time()
        stage.stop()
        assert await client.close_code() == CloseCode.GOING_AWAY.code
    assert trio.current_time() - start < PATIENCE_S


async def test_stopping_waits_no_longer_than_for_the_last_client(serving):
    async with serving(close_deadline_ms=60_000) as stage, stage.client() as (one, _), stage.client() as (other, _):
        stage.stop()
        assert await one.close_code() == CloseCode.GOING_AWAY.code
        assert await other.close_code() == CloseCode.GOING_AWAY.code


async def test_stopping_lets_a_backlog_go_out(serving):
    async with serving(close_deadline_ms=10_000, **BIG_BACKLOG) as stage, stage.deaf() as (client, endpoint):
        sent = stage.fill(endpoint, 500_000)
        stage.stop()
        for _ in range(sent):
            assert await client.frame() == (TEXT, b"x" * 1_000)
        assert await client.close_code() == CloseCode.GOING_AWAY.code


async def test_who_stops_takes_nobody_new(serving):
    async with serving(close_deadline_ms=10_000) as stage, stage.client() as (client, _):
        stage.stop()
        assert (await client.frame())[0] == CLOSE
        with pytest.raises(OSError, match="refused"):
            async with connected(stage.port, handshake=False):
                pass
        await client.half_close()
        assert await client.close_code() is None


@pytest.mark.parametrize("serve", TRANSPORTS.values(), ids=TRANSPORTS)
async def test_a_taken_port_says_what_to_do(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartError, match="GAMESERVER_WEBSOCKET_PORT"):
            await serve(evolve(BASE, port=taken.getsockname()[1]), None, None, EdgeCounters())
