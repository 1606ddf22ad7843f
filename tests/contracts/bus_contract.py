"""What every bus must do, whatever it is made of; `test_buses.py` runs this with each adapter.

A `World` is one place where buses meet. It can be cut off from all of them, and be reached again.
"""

from collections.abc import Mapping
from typing import Protocol

import pytest
import trio

from gameserver.cluster.ports import Bus
from gameserver.errors import BusAway

PATIENCE_S = 10

ALL_BYTES = bytes(range(256)) + b"\r\n*3\r\n$0\r\n\r\n" + bytes(range(256))


class Listener:
    """Takes packets, and waits for them."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self._changed = trio.Event()

    def __call__(self, packet: bytes) -> None:
        self.packets.append(packet)
        self._changed.set()

    async def until(self, last: bytes) -> list[bytes]:
        """All packets so far, as soon as `last` is the last of them."""
        with trio.move_on_after(PATIENCE_S):
            while not self.packets or self.packets[-1] != last:
                self._changed = trio.Event()
                await self._changed.wait()
            return self.packets
        raise AssertionError(f"{last[:50]!r} never came; the last was {self.packets[-1:]!r:.100}")


class Availability:
    """What a bus says of itself over time; register it before the change."""

    def __init__(self, bus: Bus) -> None:
        self._bus, self.said = bus, [bus.available]
        self._changed = trio.Event()
        bus.on_change(self._note)

    def _note(self) -> None:
        self.said.append(self._bus.available)
        self._changed.set()

    async def until(self, available: bool, within_s: float = PATIENCE_S) -> None:
        with trio.move_on_after(within_s):
            while self.said[-1] != available:
                self._changed = trio.Event()
                await self._changed.wait()
            assert self._bus.available == available
            return
        raise AssertionError(f"within {within_s:.1f} s it never became available={available}")


class World(Protocol):
    async def bus(self, subscriptions: Mapping[str, Listener]) -> Bus:
        """A bus that runs, with these subscriptions."""
        ...

    def cut(self) -> None: ...

    def heal(self) -> None: ...


class BusContract:
    async def test_a_packet_reaches_all_who_subscribed_and_nobody_else(self, world: World) -> None:
        ann, bob, other = Listener(), Listener(), Listener()
        await world.bus({"all": ann, "other": other})
        await world.bus({"all": bob})
        publisher = await world.bus({})
        await publisher.publish([("all", b"1"), ("nobody", b"2"), ("other", b"end")])
        assert await ann.until(b"1") == [b"1"]
        assert await bob.until(b"1") == [b"1"]
        assert await other.until(b"end") == [b"end"]

    async def test_packets_of_ones_own_come_back(self, world: World) -> None:
        mine = Listener()
        bus = await world.bus({"mine": mine})
        await bus.publish([("mine", b"hello")])
        assert await mine.until(b"hello") == [b"hello"]

    async def test_two_handlers_of_one_channel_both_get_it(self, world: World) -> None:
        first, second = Listener(), Listener()
        bus = await world.bus({"a": first, "b": second})
        await bus.publish([("a", b"1"), ("b", b"1")])
        await first.until(b"1")
        await second.until(b"1")

    async def test_order_is_kept_across_channels_and_calls(self, world: World) -> None:
        both = Listener()
        await world.bus({"a": both, "b": both})
        publisher = await world.bus({})
        sent = [(("a", "b")[number % 2], b"%d" % number) for number in range(1_000)]
        for first in range(0, 1_000, 40):
            await publisher.publish(sent[first : first + 40])
        assert await both.until(b"999") == [packet for _, packet in sent]

    async def test_order_is_kept_for_each_of_two_publishers(self, world: World) -> None:
        heard = Listener()
        await world.bus({"a": heard})

        async def publish(name: bytes) -> None:
            bus = await world.bus({})
            for number in range(100):
                await bus.publish([("a", b"%s %d" % (name, number)), ("a", b"%s %d again" % (name, number))])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, b"ann")
            nursery.start_soon(publish, b"bob")
        last = await world.bus({})
        await last.publish([("a", b"end")])
        packets = await heard.until(b"end")
        for name in (b"ann", b"bob"):
            expected = [b"%s %d%s" % (name, n, again) for n in range(100) for again in (b"", b" again")]
            assert [packet for packet in packets if packet.startswith(name)] == expected

    async def test_any_bytes_and_large_packets_arrive_whole(self, world: World) -> None:
        heard = Listener()
        bus = await world.bus({"a": heard})
        large = ALL_BYTES * (2**20 // len(ALL_BYTES) + 1)
        sent = [b"", ALL_BYTES, large, b"\0", large[::-1], b"end"]
        await bus.publish([("a", packet) for packet in sent])
        assert await heard.until(b"end") == sent

    async def test_nothing_to_publish_is_no_error(self, world: World) -> None:
        await (await world.bus({})).publish([])

    async def test_what_is_published_while_away_is_refused_and_lost(self, world: World) -> None:
        heard = Listener()
        bus = await world.bus({"a": heard})
        availability = Availability(bus)
        await bus.publish([("a", b"before")])
        await heard.until(b"before")
        world.cut()
        with pytest.raises(BusAway):
            await bus.publish([("a", b"lost")])
        await availability.until(False)
        with pytest.raises(BusAway):
            await bus.publish([("a", b"lost, too")])
        world.heal()
        await availability.until(True)
        await bus.publish([("a", b"after")])
        assert await heard.until(b"after") == [b"before", b"after"]
        assert availability.said == [True, False, True]

    async def test_all_who_are_cut_off_are_told_without_asking(self, world: World) -> None:
        availabilities = [Availability(await world.bus({"a": Listener()})) for _ in range(3)]
        world.cut()
        for availability in availabilities:
            await availability.until(False)
        world.heal()
        for availability in availabilities:
            await availability.until(True)
