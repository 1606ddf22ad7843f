"""What goes over many watchers lets others have their turns on the way; and they may do what they like then."""

import random

import pytest
import trio
import trio.testing

from gameserver.actors.ports import Accepted
from gameserver.cluster import watches
from gameserver.protocol import session
from gameserver.protocol.frames import text_frame
from gameserver.protocol.session import Session
from gameserver.turns import TURN_S, in_turns
from tests.cluster.stage import FakeConnection, staged
from tests.loop_time import longest_slice, takes

B = "018f0000-0000-7000-8000-000000000001"
QUEUED_S = 0.000_001
SENT_S = 0.000_005
MARGIN_S = 0.000_2
"""What one step may take beyond its turn."""


@pytest.fixture
def costly(monkeypatch):
    """What takes time in play."""
    takes(monkeypatch, Session, "queue", QUEUED_S)
    takes(monkeypatch, FakeConnection, "send", SENT_S)


@pytest.fixture
def short_steps(monkeypatch):
    """Nearly every watcher is a step, and every step a turn: there is a pause wherever there may be one."""
    monkeypatch.setattr(watches, "PASSED_AT_ONCE", 2)
    monkeypatch.setattr(session, "WRITES_AT_ONCE", 2)
    takes(monkeypatch, Session, "queue", TURN_S)
    takes(monkeypatch, FakeConnection, "send", TURN_S)


async def watching(stage, number):
    """So many clients, each of whom has seen the state."""
    clients = [stage.client(f"fan {each}") for each in range(number)]
    for client in clients:
        client.say("battle:watch", B)
    await stage.settle()
    return clients


def all_have_seen_everything(stage, clients):
    for client in clients:
        client.check()
        assert client.positions[B] == stage.node.store.actors[B].last_seq


async def test_a_commit_seen_by_ten_thousand_lets_others_have_a_turn_on_the_way(autojump_clock, costly):
    async with staged(actors={"mailbox_limit": 10_000}) as stage:
        await stage.node.battle(B)
        clients = await watching(stage, 10_000)
        with longest_slice() as measured:
            assert isinstance(await stage.node.do(B).answer(), Accepted)
            await stage.settle()
        assert measured.seconds <= TURN_S + MARGIN_S
        assert measured.turns >= 10_000 * (QUEUED_S + SENT_S) / (TURN_S + MARGIN_S)
        all_have_seen_everything(stage, clients)


async def test_the_next_statement_is_on_its_way_while_thousands_are_told_of_the_last(autojump_clock, costly):
    async with staged() as stage:
        await stage.node.battle(B)
        clients = await watching(stage, 3_000)
        with stage.node.journal.holding() as held:
            first = stage.node.do(B)
            await held.arrived.wait()
            second = stage.node.do(B)
            await trio.testing.wait_all_tasks_blocked()
        told_of = (await first.answer()).seq
        while stage.node.store.actors[B].last_seq == told_of:
            await trio.lowlevel.checkpoint()
        assert not all(told_of in client.seqs(B) for client in clients)
        assert not second.answered
        await second.answer()
        await stage.settle()
        assert all(client.seqs(B)[-2:] == [told_of, told_of + 1] for client in clients)


@pytest.mark.parametrize("seed", range(10))
async def test_whoever_comes_and_goes_in_the_middle_of_it_neither_misses_nor_doubles(autojump_clock, short_steps, seed):
    """They begin to watch, resume, watch anew, leave; the stage checks the stream of everybody."""
    dice = random.Random(seed)
    async with staged(journal={"history_limit": 1_000}) as stage:
        await stage.node.battle(B)
        stage.node.journal.latency_s = 0.001
        clients, fighting = await watching(stage, 20), True

        async def come_and_go():
            while fighting:
                await trio.lowlevel.checkpoint()
                client = dice.choice(clients)
                what = dice.random()
                if what < 0.3:
                    clients.append(stage.client(f"late {len(clients)}"))
                    clients[-1].say("battle:watch", B)
                elif what < 0.6:
                    client.check()
                    client.say("battle:watch", B, after=client.positions.get(B, 1))
                elif what < 0.8:
                    client.say("battle:watch", B)
                elif len(clients) > 5:
                    client.check()
                    client.session.on_close()
                    clients.remove(client)
                    stage.clients.remove(client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_and_go)
            for _ in range(15):
                assert isinstance(await stage.node.do(B).answer(), Accepted)
            fighting = False
        await trio.sleep(5)
        all_have_seen_everything(stage, clients)


async def test_a_lease_lost_in_the_middle_takes_nothing_from_those_who_are_not_told_yet(autojump_clock, short_steps):
    async with staged() as stage:
        await stage.node.battle(B)
        clients = await watching(stage, 50)
        landed = await stage.node.do(B).answer()
        stage.node.catalog.drop_all()
        assert await stage.node.do(B, number=7).code() == "actor_restarting"
        assert isinstance(await stage.node.do(B, number=7).answer(), Accepted)
        await trio.sleep(5)
        for client in clients:
            client.check()
            assert client.seqs(B)[-2:] == [landed.seq, landed.seq + 1]


async def test_what_all_connections_are_told_lets_others_have_a_turn_on_the_way(autojump_clock, costly):
    async with staged() as stage:
        clients = [stage.client(f"fan {each}") for each in range(5_000)]
        with longest_slice() as measured:
            await in_turns(stage.sessions.broadcast(text_frame(b'{"event":"leaderboard"}')))
            await stage.settle()
        assert measured.seconds <= TURN_S + MARGIN_S
        assert all(client.received[-1] == {"event": "leaderboard"} for client in clients)


async def test_a_crowd_that_resumes_lets_others_have_a_turn_on_the_way(autojump_clock, costly):
    async with staged() as stage:
        await stage.node.battle(B)
        for _ in range(20):
            await stage.node.do(B).answer()
        clients = [stage.client(f"fan {each}") for each in range(2_000)]
        for client in clients:
            client.say("battle:watch", B, after=3)
        with longest_slice() as measured:
            await stage.settle()
        last = stage.node.store.actors[B].last_seq
        assert measured.seconds <= TURN_S + MARGIN_S
        assert all(client.seqs(B) == list(range(4, last + 1)) for client in clients)
