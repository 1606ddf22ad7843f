"""A pass over a battle's watchers, step by step: what others do between two steps costs nobody an event."""

from contextlib import asynccontextmanager

import pytest

from gameserver.cluster import watches
from gameserver.cluster.items import Events
from gameserver.protocol.frames import text_frames
from gameserver.protocol.session import COPIED_BYTES, WRITES_AT_ONCE
from gameserver.turns import at_once
from tests.cluster.stage import staged
from tests.one_by_one import OneByOne

B = "018f0000-0000-7000-8000-000000000001"


def events(first, last):
    lines = [
        b'{"event":"battle:hit","seq":%d,"payload":{"battleId":"%s"}}' % (seq, B.encode())
        for seq in range(first, last + 1)
    ]
    return Events(B, first, lines)


@pytest.fixture(autouse=True)
def one_watch_a_step(monkeypatch):
    monkeypatch.setattr(watches, "PASSED_AT_ONCE", 1)


@asynccontextmanager
async def watched(number=4):
    """So many watch a battle from its beginning. Nobody fills gaps, so there must be none."""
    async with staged() as stage:
        fallen_behind: list[watches.Watch] = []
        stage.watches.on_behind(fallen_behind.append)
        clients = [stage.client(f"fan {each}") for each in range(number)]
        for client in clients:
            stage.watches.watch(client.session, B, 0)
        yield stage, clients
        await stage.settle()
        assert not fallen_behind


def seqs(stage, clients):
    at_once(stage.sessions.outgoing.flush())
    return [client.seqs(B) for client in clients]


def sends(clients):
    return sum(len(client.connection.sends) for client in clients)


async def test_who_begins_to_watch_in_the_middle_of_a_pass_comes_last_in_it(autojump_clock):
    async with watched() as (stage, clients):
        walk = iter(stage.watches.pass_on(events(1, 3)))
        next(walk)
        clients += [stage.client("early"), stage.client("late")]
        stage.watches.watch(clients[-2].session, B, 1)
        stage.watches.watch(clients[-1].session, B, 3)
        at_once(walk)
        assert seqs(stage, clients) == [[1, 2, 3]] * 4 + [[2, 3], []]


async def test_who_watches_anew_in_the_middle_of_a_pass_gets_nothing_by_the_old_watch(autojump_clock):
    async with watched() as (stage, clients):
        walk = iter(stage.watches.pass_on(events(1, 3)))
        next(walk)
        stage.watches.watch(clients[0].session, B, 3)
        stage.watches.watch(clients[3].session, B, 3)
        at_once(walk)
        assert seqs(stage, clients) == [[1, 2, 3]] * 3 + [[]]


async def test_who_leaves_in_the_middle_of_a_pass_gets_nothing_more(autojump_clock):
    async with watched() as (stage, clients):
        walk = iter(stage.watches.pass_on(events(1, 3)))
        next(walk)
        for client in clients[:3]:
            stage.watches.leave(client.session)
        at_once(walk)
        assert seqs(stage, clients) == [[1, 2, 3], [], [], [1, 2, 3]]


async def test_who_is_held_in_the_middle_of_a_pass_gets_the_rest_behind_what_was_missed(autojump_clock):
    async with watched() as (stage, clients):
        walk = iter(stage.watches.pass_on(events(1, 3)))
        next(walk)
        resuming = stage.watches.watch(clients[3].session, B, 0, behind=1)
        at_once(walk)
        assert seqs(stage, clients[3:]) == [[]]
        assert resuming.behind == 3
        stage.watches.filled(resuming, text_frames(events(1, 3).lines), 3)
        assert seqs(stage, clients) == [[1, 2, 3]] * 4


async def test_what_comes_while_a_pass_pauses_is_passed_on_behind_it(autojump_clock):
    async with watched() as (stage, clients):
        first = iter(stage.watches.pass_on(events(1, 3)))
        next(first)
        at_once(stage.watches.pass_on(events(4, 5)))
        assert seqs(stage, clients) == [[1, 2, 3, 4, 5]] * 4
        assert list(first) == []


async def test_who_has_been_cancelled_leaves_the_rest_to_the_next(autojump_clock):
    async with watched() as (stage, clients):
        first = iter(stage.watches.pass_on(events(1, 3)))
        next(first)
        second = iter(stage.watches.pass_on(events(4, 4)))
        next(second)
        first.close()
        second.close()
        at_once(stage.watches.pass_on(events(5, 5)))
        assert seqs(stage, clients) == [[1, 2, 3, 4, 5]] * 4


async def test_a_watch_is_behind_only_by_what_nobody_passes_on(autojump_clock):
    """That the battle is further on is also heard from its owner, while the events are still being passed on."""
    async with watched() as (stage, clients):
        walk = iter(stage.watches.pass_on(events(1, 3)))
        next(walk)
        at_once(stage.watches.pass_on(Events(B, 4)))
        assert seqs(stage, clients) == [[1, 2, 3]] * 4
        assert stage.watches.seen_seq(B) == 3


async def test_a_pass_that_is_cancelled_and_that_nobody_else_goes_on_with_comes_to_its_end(autojump_clock):
    async with watched() as (stage, clients):
        walk = iter(stage.watches.pass_on(events(1, 3)))
        next(walk)
        walk.close()
        assert seqs(stage, clients) == [[1, 2, 3]] * 4
        at_once(stage.watches.pass_on(events(4, 4)))
        assert seqs(stage, clients) == [[1, 2, 3, 4]] * 4


async def test_a_flush_that_is_cancelled_leaves_nobody_mute(autojump_clock):
    async with watched(100) as (stage, clients):
        at_once(stage.watches.pass_on(events(1, 1)))
        walk = stage.sessions.outgoing.flush()
        next(walk)
        walk.close()
        at_once(stage.watches.pass_on(events(2, 2)))
        await stage.settle()
        assert [client.seqs(B) for client in clients] == [[1, 2]] * 100


async def test_while_a_commit_is_handed_over_nothing_leaves_before_the_rest_of_it(autojump_clock):
    async with watched(100) as (stage, clients):
        greetings = sends(clients)
        stage.watches.begin()
        at_once(stage.watches.pass_on(events(1, 1)))
        await stage.settle()  # a pause in the walk: others have their turns
        at_once(stage.watches.pass_on(events(2, 2)))
        at_once(stage.watches.flush())
        assert sends(clients) == greetings + 100
        assert [client.seqs(B) for client in clients] == [[1, 2]] * 100


async def test_what_several_are_told_leaves_in_bulk(autojump_clock):
    async with watched(WRITES_AT_ONCE + 4) as (stage, clients):
        in_bulk = []

        class Counting(OneByOne):
            def send(self, writes):
                in_bulk.append(len(writes))
                super().send(writes)

        greetings = sends(clients)
        for client in clients:
            client.connection.bulk = Counting()
        at_once(stage.watches.pass_on(events(1, 1)))
        assert seqs(stage, clients) == [[1]] * len(clients)
        assert in_bulk == [WRITES_AT_ONCE, 4]
        clients[0].session.send_json({"event": "reply", "id": 1, "payload": {}})
        at_once(stage.sessions.outgoing.flush())
        assert sends(clients) == greetings + len(clients) + 1
        assert in_bulk == [WRITES_AT_ONCE, 4, 1]


async def test_a_flush_under_way_makes_way_for_a_commit_that_is_handed_over(autojump_clock):
    async with watched(100) as (stage, clients):
        greetings = sends(clients)
        at_once(stage.watches.pass_on(events(1, 1)))
        walk = stage.sessions.outgoing.flush_rest()
        next(walk)
        stage.watches.begin()
        at_once(walk)
        at_once(stage.watches.pass_on(events(2, 2)))
        await stage.settle()
        assert sends(clients) == greetings + WRITES_AT_ONCE
        at_once(stage.watches.flush())
        assert [client.seqs(B) for client in clients] == [[1, 2]] * 100


async def test_however_much_is_queued_for_a_client_leaves_in_one_piece_and_in_order(autojump_clock):
    number = COPIED_BYTES // 20  # frames that are larger than that, each
    async with watched(2) as (stage, clients):
        greetings = sends(clients)
        stage.watches.begin()
        for seq in range(1, number + 1):
            at_once(stage.watches.pass_on(events(seq, seq)))
        at_once(stage.watches.flush())
        assert sends(clients) == greetings + 2
        assert [client.seqs(B) for client in clients] == [list(range(1, number + 1))] * 2
