"""What is said between nodes: packed together, bounded, in order, and dropped rather than kept when it cannot go."""

from contextlib import asynccontextmanager

import pytest
import trio

from gameserver.cluster.items import Activated, Look
from gameserver.cluster.links import Links
from gameserver.config import ClusterSettings
from gameserver.errors import BusAway
from gameserver.turns import TURN_S
from tests.actors.node import VirtualClock
from tests.contracts.memory_bus import MemoryBus, MemoryHub
from tests.loop_time import longest_slice


class SlowBus(MemoryBus):
    """Its rounds take a second, and may fail."""

    slow_s, fails = 1.0, 0
    rounds: list

    async def publish(self, packets):
        self.rounds.append([channel for channel, _ in packets])
        await trio.sleep(self.slow_s)
        if self.fails:
            self.fails -= 1
            raise BusAway("failed")
        await super().publish(packets)


class Pair:
    def __init__(self, settings):
        hub = MemoryHub()
        self.bus = SlowBus(hub)
        self.bus.rounds = []
        self.a = Links(self.bus, "a", "secret", VirtualClock(), settings)
        self.others = {name: Links(MemoryBus(hub), name, "secret", VirtualClock(), settings) for name in ("b", "c")}
        self.heard = []
        for name, links in {"a": self.a, **self.others}.items():
            links.on(Activated, lambda sender, item, name=name: self.heard.append((name, sender, item.seq)))
            links.on(Look, lambda sender, _item, name=name: self.heard.append((name, sender, "look")))


@asynccontextmanager
async def paired(**settings):
    pair = Pair(ClusterSettings(**settings))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.a.run)
        yield pair
        nursery.cancel_scope.cancel()


def say(pair, numbers, to="b"):
    return [pair.a.send(to, Activated("battle", number)) for number in numbers]


async def test_what_is_said_in_one_turn_is_one_packet_and_arrives_in_order(autojump_clock):
    async with paired() as pair:
        say(pair, range(100))
        await trio.sleep(1.5)
        assert pair.heard == [("b", "a", number) for number in range(100)]
        assert pair.bus.rounds == [["node:b"]]


async def test_what_is_too_much_for_one_turn_is_heard_in_order_and_others_have_a_turn_on_the_way(
    autojump_clock, nursery
):
    async with paired() as pair:
        heard = pair.heard

        def work(_sender, item):
            for part in range(3):
                trio.lowlevel.current_clock().jump(TURN_S / 4)
                heard.append((item.seq, part))
                yield

        pair.others["b"].on(Activated, work)
        nursery.start_soon(pair.others["b"].run)
        with longest_slice() as measured:
            say(pair, range(100))
            await trio.sleep(1.2)
            say(pair, range(100, 110))
            await trio.sleep(5)
        assert heard == [(number, part) for number in range(110) for part in range(3)]
        assert measured.seconds < 2 * TURN_S
        nursery.cancel_scope.cancel()


async def test_beyond_the_limit_what_waits_to_be_heard_is_dropped_and_counted(autojump_clock):
    async with paired(heard_limit=10) as pair:
        say(pair, range(25))
        await trio.sleep(1.5)
        assert pair.heard == [("b", "a", number) for number in range(10)]
        assert pair.others["b"].counters.dropped == 15


async def test_what_gathers_during_a_round_trip_leaves_together_with_the_next(autojump_clock):
    async with paired() as pair:
        say(pair, [1])
        await trio.sleep(0.5)
        for number in range(2, 10):
            say(pair, [number], to="bc"[number % 2])
            await trio.sleep(0.01)
        await trio.sleep(5)
        assert len(pair.bus.rounds) == 2
        assert sorted(pair.bus.rounds[1]) == ["node:b", "node:c"]


async def test_a_broadcast_reaches_all_but_oneself(autojump_clock):
    async with paired() as pair:
        pair.a.broadcast(Look())
        await trio.sleep(2)
        assert sorted(pair.heard) == [("b", "a", "look"), ("c", "a", "look")]


async def test_beyond_the_limit_what_is_said_is_dropped_and_counted(autojump_clock):
    async with paired(link_limit=10) as pair:
        say(pair, [0])
        await trio.sleep(0.5)
        assert say(pair, range(1, 13)) == [True] * 10 + [False] * 2
        assert say(pair, [99], to="c") == [True], "another node has a queue of its own"
        await trio.sleep(5)
        assert [seq for name, _, seq in pair.heard if name == "b"] == list(range(11))
        assert pair.a.counters.dropped == 2
        assert pair.a.waiting == 0


async def test_a_packet_has_a_largest_size_and_nothing_is_lost_by_it(autojump_clock):
    async with paired(packet_limit_bytes=200) as pair:
        say(pair, range(100))
        await trio.sleep(60)
        assert [seq for _, _, seq in pair.heard] == list(range(100))
        assert 5 < len(pair.bus.rounds) < 50


async def test_a_round_that_failed_drops_what_waits_and_the_next_word_is_heard(autojump_clock):
    async with paired() as pair:
        pair.bus.fails = 1
        say(pair, [1])
        await trio.sleep(0.5)
        say(pair, [2])
        await trio.sleep(1)
        assert pair.a.waiting == 0
        say(pair, [3])
        await trio.sleep(2)
        assert [seq for _, _, seq in pair.heard] == [3]


async def test_while_the_bus_is_away_nothing_is_kept(autojump_clock):
    async with paired() as pair:
        pair.bus.cut()
        assert say(pair, range(5)) == [False] * 5
        assert not pair.a.broadcast(Look())
        assert not pair.a.publish("battle:join", b"x")
        assert pair.a.waiting == 0
        pair.bus.heal()
        await trio.sleep(2)
        assert pair.heard == []


@pytest.mark.parametrize("nodes", [1, 1_000])
async def test_names_of_nodes_that_were_told_something_are_not_kept(autojump_clock, nodes):
    async with paired() as pair:
        for number in range(nodes):
            pair.a.send(f"node-{number}", Look())
        await trio.sleep(5)
        assert pair.a._queues == {}
