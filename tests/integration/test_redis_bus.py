import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
import trio
from attrs import evolve
from structlog.testing import capture_logs

from gameserver.config import RedisSettings
from gameserver.errors import BusAway, ConfigError
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.redis_bus import RedisBus
from gameserver.persistence.redis_store import RedisStore
from tests.contracts.bus_contract import Availability, Listener
from tests.integration.redis_bus_world import BusNode
from tests.integration.redis_world import SETTINGS, eventually
from tests.integration.relay import opened_relay

NOTICED_WITHIN_S = (SETTINGS.probe_interval_ms + SETTINGS.call_deadline_ms) / 1_000
SLACK_S = 0.3  # of a machine that is busy with other tests


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[BusNode]:
    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        yield BusNode(bridge, url, nursery)
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def asyncio_has_nothing_to_complain_about(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    complaints = [record for record in caplog.get_records("call") if record.name == "asyncio"]
    assert [record for record in complaints if record.levelno >= logging.WARNING] == []


def raw(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url)


class Counting:
    """Publishes 0, 1, 2, … for as long as it runs, and knows which went through."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus, self.next, self.sent = bus, 0, set[bytes]()

    async def run(self) -> None:
        while True:
            packet, self.next = b"%d" % self.next, self.next + 1
            try:
                await self.bus.publish([("node:a", packet)])
                self.sent.add(packet)
            except BusAway:
                await trio.sleep(0.005)

    async def until_sent(self, more: int) -> None:
        wanted = len(self.sent) + more

        async def sent() -> bool:
            return len(self.sent) >= wanted

        await eventually(sent, f"{more} more packets are sent")

    async def until_heard_again(self, heard: Listener) -> None:
        """What is published from now on arrives, and nothing that arrived came twice or late."""
        from_now = self.next

        async def arrived() -> bool:
            return bool(heard.packets) and int(heard.packets[-1]) >= from_now + 50

        await eventually(arrived, f"packet {from_now + 50} arrives")
        numbers = [int(packet) for packet in heard.packets]
        assert numbers == sorted(set(numbers))


async def test_twenty_thousand_packets_arrive_once_and_in_order(redis_url: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        await node.bus({"node:a": heard})
        publisher = await node.bus({})
        sent = [b"%d %s" % (number, b"x" * 200) for number in range(20_000)]
        for first in range(0, len(sent), 20):
            await publisher.publish([("node:a", packet) for packet in sent[first : first + 20]])
        assert await heard.until(sent[-1]) == sent


async def test_a_killed_server_loses_packets_but_neither_order_nor_the_bus(
    redis_url: str, embedded_valkey: EmbeddedValkey
) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        listening = Availability(await node.bus({"node:a": heard}))
        counting = Counting(await node.bus({}))
        node.nursery.start_soon(counting.run)
        for _ in range(2):
            await counting.until_sent(50)
            os.kill(embedded_valkey.pid, signal.SIGKILL)
            await listening.until(False)
            embedded_valkey.restart()
            await listening.until(True)
        await counting.until_heard_again(heard)
        assert listening.said == [True, False, True, False, True]


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_a_cut_connection_is_made_again(redis_url: str, kind: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        bus = await node.bus({"node:a": heard})
        availability, counting = Availability(bus), Counting(bus)
        node.nursery.start_soon(counting.run)
        await counting.until_sent(50)
        with raw(redis_url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", kind)
        await availability.until(False)
        await availability.until(True)
        await counting.until_heard_again(heard)


async def test_an_emptied_redis_is_taken_for_another_one_and_connected_to_anew(redis_url: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        bus = await node.bus({"node:a": heard})
        availability = Availability(bus)
        with raw(redis_url) as client:
            client.flushall()
        await availability.until(False)
        await availability.until(True)
        await bus.publish([("node:a", b"1")])
        assert await heard.until(b"1") == [b"1"]


async def test_a_paused_server_is_noticed_in_time_and_heals(redis_url: str, embedded_valkey: EmbeddedValkey) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        listening = Availability(await node.bus({"node:a": heard}))
        counting = Counting(await node.bus({}))
        node.nursery.start_soon(counting.run)
        await counting.until_sent(50)
        os.kill(embedded_valkey.pid, signal.SIGSTOP)
        try:
            await listening.until(False, NOTICED_WITHIN_S + SLACK_S)
        finally:
            os.kill(embedded_valkey.pid, signal.SIGCONT)
        await listening.until(True)
        await counting.until_heard_again(heard)


async def test_a_subscription_that_fell_silent_is_noticed_in_time(redis_url: str) -> None:
    async with opened_relay(redis_url) as relay, opened(relay.url) as node:
        heard = Listener()
        bus = await node.bus({"node:a": heard})
        availability = Availability(bus)
        relay.mute(b"SUBSCRIBE")
        await availability.until(False, NOTICED_WITHIN_S + SLACK_S)
        await availability.until(True)
        await bus.publish([("node:a", b"1")])
        assert await heard.until(b"1") == [b"1"]


async def test_a_publisher_that_gets_no_answer_raises_in_time(redis_url: str) -> None:
    async with opened_relay(redis_url) as relay, opened(relay.url) as node:
        bus = await node.bus({})
        await bus.publish([("node:a", b"1")])
        relay.mute(b"PUBLISH")
        with trio.fail_after(SETTINGS.call_deadline_ms / 1_000 + SLACK_S), pytest.raises(BusAway):
            await bus.publish([("node:a", b"2")])
        assert not bus.available
        await Availability(bus).until(True)


async def test_what_arrives_while_the_loop_hangs_is_heard_afterwards_in_order(redis_url: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        await node.bus({"node:a": heard})
        sent = [b"%d" % number for number in range(20_000)]
        with raw(redis_url) as client:
            for packet in sent:  # this keeps the one thread that there is
                client.publish("gameserver:node:a", packet)
        await heard.until(sent[-1])
        assert heard.packets == sent


async def test_only_public_channels_go_without_the_prefix(redis_url: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        bus = await node.bus({"battle:created": heard})
        with raw(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as outside:
            outside.psubscribe("*node:a", "*battle:created")
            for _ in range(2):
                outside.get_message(timeout=5)
            await bus.publish([("node:a", b"1"), ("battle:created", b"2")])
            await heard.until(b"2")
            messages = [outside.get_message(timeout=5) for _ in range(2)]
        assert [message["channel"] for message in messages] == [b"gameserver:node:a", b"battle:created"]


async def test_a_handler_that_raises_is_logged_and_the_others_go_on(redis_url: str) -> None:
    def fail(packet: bytes) -> None:
        raise ZeroDivisionError

    async with opened(redis_url) as node:
        heard = Listener()
        bus = await node.bus({"bad": fail, "good": heard})
        with capture_logs() as logs:
            await bus.publish([("bad", b"1"), ("good", b"2"), ("bad", b"3"), ("good", b"4")])
            assert await heard.until(b"4") == [b"2", b"4"]
        assert [line["event"] for line in logs] == ["bus.handler_failed"] * 2
        assert bus.available


async def test_a_cancelled_publish_neither_breaks_the_bus_nor_the_order(redis_url: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        bus = await node.bus({"node:a": heard})
        availability = Availability(bus)
        for number in range(0, 400, 2):
            with trio.move_on_after(0.000_2):
                await bus.publish([("node:a", b"%d" % number)])
            await bus.publish([("node:a", b"%d" % (number + 1))])
        numbers = [int(packet) for packet in await heard.until(b"399")]
        assert numbers == sorted(set(numbers))
        assert set(numbers) >= set(range(1, 400, 2))
        assert availability.said == [True]


async def test_many_publish_at_once(redis_url: str) -> None:
    async with opened(redis_url) as node:
        heard = Listener()
        bus = await node.bus({"node:a": heard})
        async with trio.open_nursery() as publishers:
            for number in range(500):
                publishers.start_soon(bus.publish, [("node:a", b"%d" % number)])
        await bus.publish([("node:a", b"500")])
        assert sorted(map(int, await heard.until(b"500"))) == list(range(501))


async def test_it_starts_without_redis_and_says_no_secret() -> None:
    with capture_logs() as logs:
        async with opened("redis://user:hunter2@127.0.0.1:1/0?password=hunter3") as node:
            bus = await node.bus({"node:a": Listener()})
            assert not bus.available
            with pytest.raises(BusAway) as caught:
                await bus.publish([("node:a", b"1")])
    assert "hunter" not in str(logs) + str(caught.value)


async def test_a_wrong_url_is_named_without_its_secret() -> None:
    async with open_bridge() as bridge:
        store = RedisStore(bridge, RedisSettings(url="redis://127.0.0.1:1/0"))
        with pytest.raises(ConfigError, match="REDIS_URL") as caught:
            RedisBus(bridge, store, RedisSettings(url="redis://user:hunter2@host:port"))
    assert "hunter" not in str(caught.value)


async def test_it_can_be_cancelled_at_any_time(redis_url: str) -> None:
    for after_ms in (0, 1, 2, 3, 4, 6, 8, 10, 15, 60, 120):
        async with open_bridge() as bridge, trio.open_nursery() as nursery:
            settings = evolve(SETTINGS, url=redis_url)
            store = RedisStore(bridge, settings)
            await nursery.start(store.run)
            with trio.move_on_after(after_ms / 1_000):
                await RedisBus(bridge, store, settings).run()
            nursery.cancel_scope.cancel()
    with raw(redis_url) as client:

        async def alone() -> bool:
            return len(client.client_list()) == 1

        await eventually(alone, "no connection is left")
