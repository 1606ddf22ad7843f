"""The contract of Directory, for the one in Redis and the one in memory."""

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import redis
import trio
from attrs import evolve, frozen
from structlog.testing import capture_logs
from trio.testing import MockClock

from gameserver.cluster.ports import Directory, NodeInfo
from gameserver.config import ClusterSettings
from gameserver.errors import DirectoryAway
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.redis_directory import RedisDirectory
from tests.cluster.cluster_machine import Gate
from tests.cluster.cluster_redis import GatedDirectory
from tests.contracts.memory_directory import Board, MemoryDirectory
from tests.integration.redis_world import opened_store

SETTINGS = ClusterSettings(forget_ms=400)
KEY = "gameserver:nodes"

ANN = NodeInfo(
    name="ann",
    incarnation="1",
    roles=("http", "actors"),
    owning=True,
    http_url="http://127.0.0.1:8000",
    websocket_url="",
    admin_url="http://127.0.0.1:8200/ä?a=1",
    rules=("battle/classic/1", "group//1"),
)
BOB = NodeInfo("bob", "", (), owning=False, http_url="", websocket_url="", admin_url="", rules=())


@frozen
class World:
    """Two nodes' views of one directory."""

    anns: Directory
    bobs: Directory
    wipe: Callable[[], Any]
    go_away: Callable[[], Any]
    come_back: Callable[[], Any]


@contextlib.asynccontextmanager
async def opened_redis(url: str, server: EmbeddedValkey) -> AsyncIterator[World]:
    async with opened_store(url) as anns, opened_store(url) as bobs:
        with redis.Redis.from_url(url) as client:
            yield World(
                RedisDirectory(anns, SETTINGS),
                RedisDirectory(bobs, SETTINGS),
                client.flushall,
                server._running.stop,
                server.restart,
            )


@pytest.fixture(params=["redis", "memory", "gated"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "redis":
        url, server = request.getfixturevalue("redis_url"), request.getfixturevalue("embedded_valkey")
        async with opened_redis(url, server) as opened:
            yield opened
        return
    board = Board()
    kind = MemoryDirectory if request.param == "memory" else partial(GatedDirectory, gate=Gate())
    yield World(
        kind(board, SETTINGS),
        kind(board, SETTINGS),
        board.wipe,
        lambda: setattr(board, "away", True),
        lambda: setattr(board, "away", False),
    )


async def names(directory: Directory, me: NodeInfo) -> set[str]:
    return {sighting.info.name for sighting in await directory.meet(me)}


async def until_reached(directory: Directory, me: NodeInfo) -> set[str]:
    with trio.fail_after(10):
        while True:
            try:
                return await names(directory, me)
            except DirectoryAway:
                await trio.sleep(0.02)


async def test_nodes_see_each_other_and_themselves_whole(world: World) -> None:
    (alone,) = await world.anns.meet(ANN)
    assert (alone.info, alone.age_ms) == (ANN, 0)
    seen = {sighting.info for sighting in await world.bobs.meet(BOB)}
    assert seen == {ANN, BOB}


async def test_the_last_word_of_a_node_stands(world: World) -> None:
    await world.anns.meet(ANN)
    stopping = evolve(ANN, owning=False, incarnation="2")
    await world.anns.meet(stopping)
    assert {sighting.info for sighting in await world.bobs.meet(BOB)} == {stopping, BOB}


async def test_a_silent_node_grows_old_and_is_forgotten(world: World) -> None:
    await world.anns.meet(ANN)
    began, ages_ms = trio.current_time(), [0]
    with trio.fail_after(10):
        while ages := [sighting.age_ms for sighting in await world.bobs.meet(BOB) if sighting.info == ANN]:
            passed_ms = 1_000 * (trio.current_time() - began)
            assert ages_ms[-1] <= ages[0] <= passed_ms + 50
            assert ages[0] <= SETTINGS.forget_ms
            ages_ms += ages
            await trio.sleep(0.05)
    assert 1_000 * (trio.current_time() - began) >= SETTINGS.forget_ms - 1
    assert ages_ms[-1] > 200
    assert await names(world.anns, ANN) == {"ann", "bob"}


async def test_who_leaves_is_forgotten_at_once(world: World) -> None:
    await world.anns.meet(ANN)
    await world.anns.leave(ANN)
    await world.anns.leave(ANN)
    assert await names(world.bobs, BOB) == {"bob"}


async def test_a_later_incarnation_is_not_removed_by_an_earlier_one(world: World) -> None:
    await world.anns.meet(evolve(ANN, incarnation="2"))
    await world.anns.leave(ANN)
    assert await names(world.bobs, BOB) == {"ann", "bob"}


async def test_it_fills_again_after_a_wipe(world: World) -> None:
    await world.anns.meet(ANN)
    world.wipe()
    assert await names(world.bobs, BOB) == {"bob"}
    assert await names(world.anns, ANN) == {"ann", "bob"}


async def test_being_away_is_said_and_passes(world: World) -> None:
    await world.anns.meet(ANN)
    world.go_away()
    with pytest.raises(DirectoryAway):
        await world.anns.meet(ANN)
    with pytest.raises(DirectoryAway):
        await world.bobs.leave(BOB)
    world.come_back()
    assert "ann" in await until_reached(world.anns, ANN)


async def test_an_info_of_another_version_is_left_out_and_logged_once(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        directory = RedisDirectory(store, SETTINGS)
        await directory.meet(BOB)
        with redis.Redis.from_url(redis_url) as client, capture_logs() as logs:
            beat = client.hget(KEY, "bob").split()[0].decode()
            client.hset(KEY, mapping={"new": f'{beat} {{"name":"new","color":"red"}}', "odd": f"{beat} [", "bad": "x"})
            for _ in range(3):
                assert await names(directory, BOB) == {"bob"}
            await directory.leave(evolve(BOB, name="odd"))
            await directory.leave(evolve(BOB, name="new"))
            assert set(client.hkeys(KEY)) == {b"bob", b"new", b"odd"}
    assert sorted(line["node"] for line in logs) == ["new", "odd"]


async def test_a_dead_node_ages_after_the_clock_of_redis_stepped_back(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        directory = RedisDirectory(store, SETTINGS)
        await directory.meet(ANN)
        with redis.Redis.from_url(redis_url) as client:
            beat, info = client.hget(KEY, "ann").split(b" ", 1)
            client.hset(KEY, "ann", b"%d %s" % (int(beat) + 3_600_000, info))
        assert await names(directory, BOB) == {"ann", "bob"}
        with trio.fail_after(5):
            while "ann" in await names(directory, BOB):
                await trio.sleep(0.05)


async def test_an_abandoned_directory_expires(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        await RedisDirectory(store, SETTINGS).meet(ANN)
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.pttl(KEY) <= SETTINGS.forget_ms


async def test_the_memory_directory_is_on_the_virtual_clock(autojump_clock: MockClock) -> None:
    board = Board()
    anns, bobs = MemoryDirectory(board, ClusterSettings()), MemoryDirectory(board, ClusterSettings())
    await anns.meet(ANN)
    await trio.sleep(600)
    assert {sighting.info.name: sighting.age_ms for sighting in await bobs.meet(BOB)} == {"ann": 600_000, "bob": 0}
    await trio.sleep(0.001)
    assert await names(bobs, BOB) == {"bob"}
    bobs.away = True
    with pytest.raises(DirectoryAway):
        await bobs.meet(BOB)
    await anns.meet(ANN)
