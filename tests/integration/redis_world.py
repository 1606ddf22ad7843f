"""What the tests of the Redis parts share: an opened store that notices changes fast, and a patient look."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import redis
import trio
from attrs import evolve

from gameserver.config import RedisSettings
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.redis_store import RedisStore

SETTINGS = RedisSettings(probe_interval_ms=50, call_deadline_ms=500)


@contextlib.asynccontextmanager
async def opened_store(url: str) -> AsyncIterator[RedisStore]:
    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        store = RedisStore(bridge, evolve(SETTINGS, url=url))
        await nursery.start(store.run)
        yield store
        nursery.cancel_scope.cancel()


async def eventually(look: Callable[[], Awaitable[Any]], what: str) -> None:
    """Returns once `look` gives something true; fails after 10 s."""
    with trio.move_on_after(10):
        while not await look():  # what is looked for happens elsewhere
            await trio.sleep(0.02)
        return
    raise AssertionError(f"never came true: {what}")


async def until_available(store: RedisStore) -> None:
    async def available() -> bool:
        return store.available

    await eventually(available, "Redis is back")


def raw(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, decode_responses=True)
