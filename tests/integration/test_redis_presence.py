import contextlib
from collections.abc import AsyncIterator

import trio

from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.redis_presence import RedisPresence
from tests.integration.redis_world import eventually, opened_store, raw

TTL_MS = 900
LONG_TTL_MS = 60_000
"""Longer than any test: who is gone before is gone because it was said."""


@contextlib.asynccontextmanager
async def opened_presence(url: str, ttl_ms: int = TTL_MS) -> AsyncIterator[RedisPresence]:
    async with opened_store(url) as store, trio.open_nursery() as nursery:
        presence = RedisPresence(store, "node-1", ttl_ms, limit=10_000)
        nursery.start_soon(presence.run)
        yield presence
        nursery.cancel_scope.cancel()


async def until_seen(url: str, player: str, *connections: str) -> None:
    async def look() -> bool:
        with raw(url) as client:
            return set(client.zrange(f"gameserver:presence:{player}", 0, -1)) == set(connections)

    await eventually(look, f"{player} is seen at {connections}")


async def test_connections_come_and_go(redis_url: str) -> None:
    async with opened_presence(redis_url, LONG_TTL_MS) as presence:
        presence.connected("ann", "1")
        presence.connected("ann", "2")
        presence.connected("bob", "3")
        await until_seen(redis_url, "ann", "1@node-1", "2@node-1")
        await until_seen(redis_url, "bob", "3@node-1")
        presence.disconnected("ann", "1")
        presence.disconnected("bob", "3")
        await until_seen(redis_url, "ann", "2@node-1")
        await until_seen(redis_url, "bob")
        assert len(presence) == 1


async def test_who_comes_and_who_goes_at_the_same_time_are_told_apart(redis_url: str) -> None:
    async with opened_presence(redis_url, LONG_TTL_MS) as presence:
        presence.connected("ann", "1")
        presence.connected("bob", "2")
        await until_seen(redis_url, "bob", "2@node-1")
        presence.disconnected("ann", "1")
        presence.connected("cid", "3")
        presence.disconnected("bob", "2")
        presence.connected("ann", "4")
        await until_seen(redis_url, "ann", "4@node-1")
        await until_seen(redis_url, "bob")
        await until_seen(redis_url, "cid", "3@node-1")


async def test_it_is_renewed_as_long_as_the_node_lives_and_not_longer(redis_url: str) -> None:
    async with opened_presence(redis_url) as presence:
        presence.connected("ann", "1")
        await trio.sleep(2 * TTL_MS / 1_000)
        await until_seen(redis_url, "ann", "1@node-1")
    await trio.sleep(TTL_MS / 1_000 + 0.1)
    await until_seen(redis_url, "ann")


async def test_all_is_written_anew_after_a_wipe(redis_url: str) -> None:
    async with opened_presence(redis_url) as presence:
        for number in range(1_200):
            presence.connected(f"player-{number}", "1")
        await until_seen(redis_url, "player-1199", "1@node-1")
        with raw(redis_url) as client:
            client.flushall()
        await until_seen(redis_url, "player-0", "1@node-1")
        await until_seen(redis_url, "player-1199", "1@node-1")


async def test_all_is_written_anew_after_a_restart(redis_url: str, embedded_valkey: EmbeddedValkey) -> None:
    async with opened_presence(redis_url) as presence:
        presence.connected("ann", "1")
        presence.connected("bob", "2")
        await until_seen(redis_url, "bob", "2@node-1")
        embedded_valkey._running.stop()
        presence.connected("cid", "3")
        presence.disconnected("bob", "2")
        await trio.sleep(0.2)
        assert presence.waiting == 0
        embedded_valkey.restart()
        await until_seen(redis_url, "ann", "1@node-1")
        await until_seen(redis_url, "cid", "3@node-1")
        await until_seen(redis_url, "bob")


async def test_it_is_bounded(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        presence = RedisPresence(store, "node-1", TTL_MS, limit=10)  # nobody runs it
        for number in range(100):
            presence.connected("ann", str(number))
            presence.disconnected("bob", str(number))
        assert len(presence) == 10
        assert presence.waiting == 20
        assert presence.dropped == 180
