"""Walks: they pause when a turn is over, and only then."""

import pytest
import trio

from gameserver.turns import TURN_S, at_once, in_turns, one_turn, strides
from tests.loop_time import longest_slice

STEP_S = TURN_S / 10


def steps(number, step_s, taken):
    """Each takes so long, on the virtual clock."""
    for each in range(number):
        trio.lowlevel.current_clock().jump(step_s)
        taken.append(each)
        yield


async def test_a_long_walk_lets_others_have_a_turn_now_and_then(autojump_clock):
    taken: list[int] = []
    with longest_slice() as measured:
        await in_turns(steps(1_000, STEP_S, taken))
    assert taken == list(range(1_000))
    assert measured.turns >= 1_000 * STEP_S / (TURN_S + STEP_S)
    assert measured.seconds <= TURN_S + STEP_S


async def test_a_short_walk_is_no_checkpoint(autojump_clock):
    taken: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await in_turns(steps(5, STEP_S, taken))
        taken.append(-1)
    assert taken == [0, 1, 2, 3, 4, -1]


async def test_a_cancelled_walk_ends_between_two_steps(autojump_clock):
    taken: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await in_turns(steps(1_000, STEP_S, taken))
    assert scope.cancelled_caught
    assert len(taken) * STEP_S == pytest.approx(TURN_S)


async def test_a_walk_can_be_gone_on_with_turn_by_turn(autojump_clock):
    taken: list[int] = []
    walk = steps(25, STEP_S, taken)
    turns = 1
    while not one_turn(walk):
        turns += 1
    assert (turns, len(taken)) == (3, 25)


async def test_who_cannot_wait_walks_at_once(autojump_clock):
    taken: list[int] = []
    with longest_slice() as measured:
        at_once(steps(1_000, STEP_S, taken))
        await trio.lowlevel.checkpoint()
    assert len(taken) == 1_000
    assert measured.seconds == pytest.approx(1_000 * STEP_S)


def test_strides_go_over_everything_also_what_comes_on_the_way():
    many, seen = list(range(7)), []
    for some in strides(many, 3):
        seen.append(list(some))
        if len(many) < 9:
            many.append(len(many))
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert list(strides([], 3)) == []
