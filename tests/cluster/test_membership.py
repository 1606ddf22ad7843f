"""Who is there: from beats alone, by the directory's clock, and never in a hurry to bury anybody."""

from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, evolve, field

from gameserver.cluster.membership import Membership
from gameserver.cluster.ports import NodeInfo
from gameserver.config import ClusterSettings
from tests.contracts.memory_directory import Board, MemoryDirectory

SETTINGS = ClusterSettings(beat_interval_ms=500, node_ttl_ms=2_000)


@define(eq=False)
class Beating:
    """A node that does nothing but beat; it can be stopped and started again."""

    info: NodeInfo
    directory: MemoryDirectory
    nursery: trio.Nursery
    views: list = field(factory=list)
    cancel: trio.CancelScope = field(factory=trio.CancelScope)
    membership: Membership = field(init=False)

    async def start(self):
        """Each time as a new process."""
        self.cancel = trio.CancelScope()
        self.membership = Membership(self.directory, lambda: self.info, SETTINGS)
        self.membership.on_change(lambda: self.views.append(self.membership.view))
        await self.nursery.start(self._run)

    async def _run(self, *, task_status):
        with self.cancel:
            await self.membership.run(task_status=task_status)

    def fall_silent(self):
        self.cancel.cancel()

    def sees(self):
        return {name: member.status for name, member in self.membership.view.members.items()}


@asynccontextmanager
async def beating(*names):
    board = Board()
    async with trio.open_nursery() as nursery:
        nodes = {}
        for name in names:
            info = NodeInfo(name, "1", ("actors",), True, "", f"ws://{name}", "", ("group//1",))
            nodes[name] = Beating(info, MemoryDirectory(board, SETTINGS), nursery)
            await nodes[name].start()
            await trio.sleep(0.1)  # so that they beat in this order
        yield board, *nodes.values()
        nursery.cancel_scope.cancel()


async def test_a_node_that_falls_silent_is_suspected_then_dead_and_alive_again_with_its_next_beat(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(1.2)
        assert a.sees() == {"a": "alive", "b": "alive"}
        b.fall_silent()
        await trio.sleep(1.5)
        assert a.sees()["b"] == "suspected"
        await trio.sleep(1.5)
        assert a.sees()["b"] == "dead"
        await b.start()
        await trio.sleep(0.6)
        assert a.sees() == {"a": "alive", "b": "alive"}


async def test_one_beat_that_is_late_makes_nobody_suspect(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(1.2)
        b.fall_silent()
        await trio.sleep(0.7)
        await b.start()
        await trio.sleep(2)
        assert all(view.members["b"].status == "alive" for view in a.views if "b" in view.members)


async def test_a_wiped_directory_kills_nobody(autojump_clock):
    async with beating("a", "b", "c") as (board, *nodes):
        await trio.sleep(10.2)
        seen = [len(node.views) for node in nodes]
        board.wipe()
        await trio.sleep(5)
        for node, before in zip(nodes, seen, strict=True):
            statuses = {member.status for view in node.views[before:] for member in view.members.values()}
            assert statuses <= {"alive", "suspected"}
            assert all(len(view.members) == 3 for view in node.views[before:])
            assert set(node.sees().values()) == {"alive"}


async def test_who_was_there_when_the_directory_was_wiped_and_never_came_back_is_dead_after_the_ttl(autojump_clock):
    async with beating("a", "b") as (board, a, b):
        await trio.sleep(10.2)
        b.fall_silent()
        board.wipe()
        await trio.sleep(1.2)
        assert a.sees()["b"] == "suspected"
        await trio.sleep(1.5)
        assert a.sees()["b"] == "dead"


async def test_the_last_view_stands_while_the_directory_is_away(autojump_clock):
    async with beating("a", "b") as (board, a, b):
        await trio.sleep(1.2)
        before = a.membership.view
        board.away = True
        await trio.sleep(60)
        assert a.membership.view is before
        board.away = False
        await trio.sleep(1.2)
        assert set(a.sees().values()) == set(b.sees().values()) == {"alive"}


async def test_a_directory_that_was_away_for_long_and_lost_nothing_kills_nobody(autojump_clock):
    async with beating("a", "b") as (board, a, _):
        await trio.sleep(1.2)
        board.away = True
        await trio.sleep(60)
        seen = len(a.views)
        board.away = False
        await trio.sleep(3)
        assert all(view.members["b"].status != "dead" for view in a.views[seen:]), "b was there all the time"


async def test_the_version_rises_by_one_with_each_change_and_with_nothing_else(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(1.2)
        version = a.membership.view.version
        await trio.sleep(60)
        assert a.membership.view.version == version
        b.info = evolve(b.info, owning=False)
        await trio.sleep(1.2)
        assert a.membership.view.version == version + 1
        assert [view.version for view in a.views] == list(range(1, version + 2))


async def test_a_change_is_told_once_and_at_once(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(1.2)
        told = len(a.views)
        b.info = evolve(b.info, http_url="http://b")
        b.membership.look()
        await trio.sleep(0.01)
        a.membership.look()
        await trio.sleep(0.01)
        assert a.membership.view.members["b"].info.http_url == "http://b"
        await trio.sleep(10)
        assert len(a.views) == told + 1


async def test_a_new_process_under_the_same_name_is_a_change(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(1.2)
        version = a.membership.view.version
        b.fall_silent()
        b.info = evolve(b.info, incarnation="2")
        await b.start()
        await trio.sleep(0.6)
        assert a.membership.view.version == version + 1
        assert a.membership.view.members["b"].info.incarnation == "2"


async def test_what_a_node_says_of_itself_holds_at_once_in_its_own_view(autojump_clock):
    async with beating("a", "b") as (_, a, _b):
        await trio.sleep(1.2)
        a.info = evolve(a.info, owning=False)
        a.membership.adopt_me()
        assert not a.membership.view.members["a"].info.owning
        told = len(a.views)
        a.membership.adopt_me()
        assert len(a.views) == told


async def test_what_a_node_says_of_itself_holds_in_its_own_view_while_the_directory_is_away(autojump_clock):
    async with beating("a") as (board, a):
        board.away = True
        a.info = evolve(a.info, owning=False)
        await trio.sleep(0.6)
        assert not a.membership.view.members["a"].info.owning


async def test_who_says_goodbye_is_dead_at_once_and_for_as_long_as_it_may_be_taken_for_an_owner(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(10.2)
        await b.membership.leave()
        a.membership.farewell("b", b.info.incarnation)
        for _ in range(20):
            assert a.membership.view.is_dead("b")
            await trio.sleep(0.5)


async def test_who_says_goodbye_before_the_directory_knows_does_not_come_to_life_again(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(10.2)
        b.fall_silent()
        a.membership.farewell("b", b.info.incarnation)
        seen = len(a.views)
        a.membership.look()
        await trio.sleep(0.1)
        await b.membership.leave()
        await trio.sleep(10)
        assert all(not view.members["b"].usable for view in a.views[seen:] if "b" in view.members)


async def test_a_goodbye_of_an_earlier_process_takes_nobody_with_it(autojump_clock):
    async with beating("a", "b") as (_, a, _b):
        await trio.sleep(10.2)
        a.membership.farewell("b", "of an earlier process")
        assert a.sees()["b"] == "alive"
        await trio.sleep(1)
        assert a.sees()["b"] == "alive"


async def test_who_comes_back_after_its_goodbye_is_alive(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        await trio.sleep(10.2)
        await b.membership.leave()
        a.membership.farewell("b", b.info.incarnation)
        b.info = evolve(b.info, incarnation="2")
        await b.start()
        await trio.sleep(0.6)
        assert a.sees()["b"] == "alive"


async def test_an_earlier_process_that_leaves_late_takes_nobody_with_it(autojump_clock):
    async with beating("a", "b") as (_, a, b):
        earlier = Membership(b.directory, lambda: evolve(b.info, incarnation="0"), SETTINGS)
        await earlier.leave()
        await trio.sleep(3)
        assert a.sees() == {"a": "alive", "b": "alive"}


async def test_nobody_starts_without_a_view_of_itself_even_without_a_directory(autojump_clock):
    board = Board(away=True)
    info = NodeInfo("a", "1", ("actors",), True, "", "", "", ())
    async with trio.open_nursery() as nursery:
        node = Beating(info, MemoryDirectory(board, SETTINGS), nursery)
        await node.start()
        assert node.sees() == {"a": "alive"}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("looks", [1, 50])
async def test_looking_costs_at_most_one_beat_at_a_time(autojump_clock, looks):
    async with beating("a") as (_, a):
        calls = []
        meet = a.directory.meet

        async def slow(me):
            calls.append(trio.current_time())
            await trio.sleep(0.2)
            return await meet(me)

        a.directory.meet = slow
        await trio.sleep(0.6)
        calls.clear()
        for _ in range(looks):
            a.membership.look()
        await trio.sleep(0.19)
        assert len(calls) == 1


async def test_while_the_directory_is_away_it_is_asked_at_each_beat_and_no_more(autojump_clock):
    async with beating("a", "b") as (board, one, _):
        await trio.sleep(3)
        asked = 0
        board.away = True
        meet = one.directory.meet

        async def counted(me):
            nonlocal asked
            asked += 1
            return await meet(me)

        one.directory.meet = counted
        await trio.sleep(30)
        assert asked <= 61
