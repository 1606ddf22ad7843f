"""What the tests of the Redis bus share: buses that notice changes fast, several to one bridge."""

from collections.abc import Callable, Mapping

import trio
from attrs import evolve, frozen

from gameserver.config import RedisSettings
from gameserver.persistence.bridge import Bridge
from gameserver.persistence.redis_bus import RedisBus
from gameserver.persistence.redis_store import RedisStore
from tests.integration.redis_world import SETTINGS


@frozen
class BusNode:
    """Each bus has a store of its own, as if each were on another node. They end with the nursery."""

    bridge: Bridge
    url: str
    nursery: trio.Nursery
    settings: RedisSettings = SETTINGS

    async def bus(self, subscriptions: Mapping[str, Callable[[bytes], None]]) -> RedisBus:
        settings = evolve(self.settings, url=self.url)
        store = RedisStore(self.bridge, settings)
        bus = RedisBus(self.bridge, store, settings)
        for channel, handler in subscriptions.items():
            bus.subscribe(channel, handler)
        await self.nursery.start(store.run)
        await self.nursery.start(bus.run)
        return bus
