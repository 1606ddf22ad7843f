import time

import pytest
import trio
from structlog.testing import capture_logs

from gameserver.config import RedisSettings
from gameserver.errors import ConfigError
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.redis_store import RedisAway, RedisStore
from tests.integration.redis_world import opened_store, raw, until_available


async def test_a_call_reaches_redis(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        assert store.available
        await store.call(lambda client: client.set("a", "b"))
        assert await store.call(lambda client: client.get("a")) == "b"


async def test_calls_fail_at_once_while_redis_is_away_and_work_again_after(
    redis_url: str, embedded_valkey: EmbeddedValkey
) -> None:
    async with opened_store(redis_url) as store:
        renewals: list[None] = []
        store.on_renewal(lambda: renewals.append(None))
        with capture_logs() as logs:
            embedded_valkey._running.stop()
            for _ in range(200):
                with pytest.raises(RedisAway):
                    await store.call(lambda client: client.get("a"))
            assert not store.available
            assert store.calls_refused >= 190
            embedded_valkey.restart()
            await until_available(store)
        assert await store.call(lambda client: client.get("a")) is None
        assert len(renewals) == 1
        assert [line["event"] for line in logs] == ["redis.away", "redis.back"]


async def test_a_redis_that_hangs_costs_one_deadline(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        with raw(redis_url) as client:
            client.client_pause(2_000)
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(RedisAway):
                await store.call(lambda client: client.set("a", "b"))
        assert time.monotonic() - began < 1.0
        await until_available(store)


async def test_a_redis_that_was_emptied_is_noticed(redis_url: str) -> None:
    async with opened_store(redis_url) as store:
        before, renewed = store.life, trio.Event()
        store.on_renewal(renewed.set)
        with raw(redis_url) as client:
            client.flushall()
        with trio.fail_after(5):
            await renewed.wait()
        assert store.available
        assert store.life == before + 1


async def test_no_secret_in_logs_nor_errors() -> None:
    with capture_logs() as logs:
        async with opened_store("redis://user:hunter2@127.0.0.1:1/0?password=hunter3") as store:
            with pytest.raises(RedisAway) as caught:
                await store.call(lambda client: client.get("a"))
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["redis.away"]
    assert "hunter" not in str(logs) + str(caught.value)


@pytest.mark.parametrize("url", ["", "http://user:hunter2@host", "redis://user:hunter2@host:port"])
async def test_a_wrong_url_is_named_without_its_secret(url: str) -> None:
    async with open_bridge() as bridge:
        with pytest.raises(ConfigError, match="REDIS_URL") as caught:
            RedisStore(bridge, RedisSettings(url=url))
    assert "hunter" not in str(caught.value)
