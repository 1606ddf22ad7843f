"""What is done again and again is done in step, whenever who does it has begun."""

from itertools import pairwise

import pytest
import trio

from gameserver.beats import beat_after, next_beat


async def beats_of(interval_s, begin_s, work_s, found):
    await trio.sleep(begin_s)
    while True:
        await next_beat(interval_s)
        found.append(trio.current_time())
        await trio.sleep(work_s)


async def test_tasks_with_one_interval_wake_up_at_the_same_moments(autojump_clock, nursery):
    early, late = [], []
    nursery.start_soon(beats_of, 0.5, 0.03, 0.01, early)
    nursery.start_soon(beats_of, 0.5, 0.28, 0.04, late)
    await trio.sleep(10.1)
    assert early == late
    assert len(early) == pytest.approx(10 / 0.5, abs=1)


async def test_a_slow_beat_falls_on_one_of_the_fast_ones(autojump_clock, nursery):
    fast, slow = [], []
    nursery.start_soon(beats_of, 0.25, 0.03, 0.01, fast)
    nursery.start_soon(beats_of, 1.0, 0.07, 0.01, slow)
    await trio.sleep(10.1)
    assert slow
    assert set(slow) <= set(fast)


async def test_whose_work_takes_longer_than_the_interval_skips_beats(autojump_clock, nursery):
    found = []
    nursery.start_soon(beats_of, 0.5, 0.0, 0.7, found)
    await trio.sleep(10.1)
    assert [then - before for before, then in pairwise(found)] == pytest.approx([1.0] * (len(found) - 1))


@pytest.mark.parametrize("interval_s", [0.02, 0.1, 0.25, 0.3, 20.0])
@pytest.mark.parametrize("beat", [0, 1, 7, 3_333_333])
def test_who_wakes_up_at_a_beat_or_a_hair_before_it_waits_for_the_one_after(interval_s, beat):
    at = beat * interval_s
    for woken in (at, at * (1 - 1e-15), at - interval_s / 100):
        assert beat_after(woken, interval_s) == pytest.approx((beat + 1) * interval_s)


@pytest.mark.parametrize("parts", range(100))
def test_a_beat_is_neither_at_once_nor_much_later_than_the_interval(parts):
    at = 123.0 + parts / 100
    assert 0.099 <= beat_after(at, 1.0) - at <= 1.101
