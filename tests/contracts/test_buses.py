"""Every bus keeps the contract."""

from collections.abc import AsyncIterator, Mapping

import pytest
import trio
from attrs import define

from gameserver.cluster.ports import Bus
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from tests.cluster.cluster_machine import Gate
from tests.cluster.cluster_redis import FaultyBus, FaultyHub
from tests.contracts.bus_contract import Availability, BusContract, Listener, World
from tests.contracts.memory_bus import MemoryBus, MemoryHub
from tests.integration.redis_bus_world import BusNode


@define
class MemoryWorld:
    hub: MemoryHub

    async def bus(self, subscriptions: Mapping[str, Listener]) -> Bus:
        bus = MemoryBus(self.hub)
        for channel, listener in subscriptions.items():
            bus.subscribe(channel, listener)
        return bus

    def cut(self) -> None:
        self.hub.cut()

    def heal(self) -> None:
        self.hub.heal()


@define
class ClusterWorld(MemoryWorld):
    """The same, as the nodes of tests/cluster/ and of the simulation reach it."""

    hub: FaultyHub

    async def bus(self, subscriptions: Mapping[str, Listener]) -> Bus:
        bus = FaultyBus(self.hub, f"node-{len(self.hub.buses)}", Gate())
        for channel, listener in subscriptions.items():
            bus.subscribe(channel, listener)
        return bus


@define
class RedisWorld:
    node: BusNode
    server: EmbeddedValkey

    async def bus(self, subscriptions: Mapping[str, Listener]) -> Bus:
        return await self.node.bus(subscriptions)

    def cut(self) -> None:
        self.server._running.stop()

    def heal(self) -> None:
        self.server.restart()


class TestMemoryBus(BusContract):
    @pytest.fixture
    def world(self) -> World:
        return MemoryWorld(MemoryHub())


class TestFaultyBus(BusContract):
    @pytest.fixture
    def world(self) -> World:
        return ClusterWorld(FaultyHub())


class TestRedisBus(BusContract):
    @pytest.fixture
    async def world(self, redis_url: str, embedded_valkey: EmbeddedValkey) -> AsyncIterator[World]:
        async with open_bridge() as bridge, trio.open_nursery() as nursery:
            yield RedisWorld(BusNode(bridge, redis_url, nursery), embedded_valkey)
            nursery.cancel_scope.cancel()


async def test_one_memory_bus_is_cut_off_from_the_others() -> None:
    world, alone, other = MemoryWorld(MemoryHub()), Listener(), Listener()
    bus = await world.bus({"a": alone})
    publisher = await world.bus({"a": other})
    availability = Availability(bus)
    world.hub.buses[0].cut()
    await publisher.publish([("a", b"1")])
    assert (alone.packets, other.packets) == ([], [b"1"])
    world.hub.buses[0].heal()
    assert availability.said == [True, False, True]


async def test_a_memory_hub_loses_packets_on_request() -> None:
    world, heard = MemoryWorld(MemoryHub()), Listener()
    bus = await world.bus({"a": heard})
    world.hub.lose(1)
    await bus.publish([("a", b"1"), ("a", b"2")])
    assert heard.packets == [b"2"]
