"""Everybody is told once of what became of a command, however many they are, and the others have turns on the way."""

import pytest
import trio
import trio.testing

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted
from gameserver.errors import OutcomeUnknown
from gameserver.turns import TURN_S
from tests.actors.node import Asked, answers, codes, running
from tests.loop_time import longest_slice, takes

REPLY_S = 0.000_02
MARGIN_S = 0.000_5
"""What one step may take beyond its turn: sixteen replies."""


@pytest.fixture
def costly(monkeypatch):
    """A reply takes time."""
    takes(monkeypatch, Asked, "__call__", REPLY_S)


async def until_answered(asked, number):
    """At least so many, and not all."""
    while sum(each.answered for each in asked) < number:
        await trio.lowlevel.checkpoint()
    assert not all(each.answered for each in asked)


async def test_a_thousand_replies_of_one_commit_let_others_have_a_turn_on_the_way(autojump_clock, costly):
    async with running() as node:
        battle = await node.battle()
        asked = [node.do(battle) for _ in range(1_000)]
        with longest_slice() as measured:
            assert all(isinstance(each, Accepted) for each in await answers(asked))
        assert measured.seconds <= TURN_S + MARGIN_S


async def test_a_thousand_refusals_after_a_lost_commit_let_others_have_a_turn_on_the_way(autojump_clock, costly):
    async with running() as node:
        battle = await node.battle()
        node.journal.fail_next(OutcomeUnknown("lost"))
        asked = [node.do(battle) for _ in range(1_000)]
        with longest_slice() as measured:
            assert set(await codes(asked)) == {"outcome_unknown"}
        assert measured.seconds <= TURN_S + MARGIN_S
        assert await node.done(battle) == []


async def test_a_full_mailbox_whose_actor_cannot_live_is_refused_in_turns(autojump_clock, costly):
    async with running() as node:
        asked = [node.tell("no such battle", Show()) for _ in range(1_000)]
        with longest_slice() as measured:
            assert set(await codes(asked)) == {"battle_not_found"}
        assert measured.seconds <= TURN_S + MARGIN_S


async def test_who_comes_while_those_before_are_refused_does_not_overtake_them(autojump_clock, costly):
    async with running() as node:
        asked = [node.tell("no such battle", Show()) for _ in range(500)]
        await until_answered(asked, 1)
        late = node.tell("no such battle", Show())
        await late.answer()
        assert all(each.answered for each in asked)


async def test_a_node_that_dies_while_it_replies_leaves_nobody_waiting_and_tells_nobody_twice(autojump_clock, costly):
    async with running() as node:
        battle = await node.battle()
        asked = [node.do(battle) for _ in range(500)]
        await until_answered(asked, 1)
        node.kill()
        await trio.lowlevel.checkpoint()
    codes_seen = {getattr(each.answers[0], "code", "accepted") for each in asked}
    assert codes_seen == {"accepted", "node_stopping"}


async def test_a_node_that_dies_while_it_refuses_leaves_nobody_waiting(autojump_clock, costly):
    async with running() as node:
        asked = [node.tell("no such battle", Show()) for _ in range(500)]
        await until_answered(asked, 1)
        node.kill()
        await trio.lowlevel.checkpoint()
    assert all(each.answered for each in asked)


async def test_an_actor_does_not_leave_before_all_of_its_last_commit_is_delivered(autojump_clock, costly):
    async with running(actors={"idle_ms": 1}) as node:
        battle = await node.battle()
        asked = [node.do(battle) for _ in range(500)]
        await until_answered(asked, 1)
        with trio.fail_after(3_600):
            await node.catalog.hand_over(battle, "node-b")
        assert all(each.answered for each in asked)


async def test_lives_that_end_with_the_lease_end_in_turns(autojump_clock, monkeypatch):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(100)]
        takes(monkeypatch, type(node.catalog), "_drop", REPLY_S * 10)
        with longest_slice() as measured:
            node.catalog.drop_all()
            await trio.testing.wait_all_tasks_blocked()
        assert measured.seconds <= TURN_S + MARGIN_S
        assert not any(node.loaded(battle) for battle in battles)
