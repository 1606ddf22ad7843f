"""The game's time: PostgreSQL's, whatever the machine's own clock says."""

import trio

from gameserver.cluster.clock import CorrectedClock

POSTGRES_MS = 5_000_000


async def test_before_postgresql_was_asked_the_machine_is_believed(autojump_clock):
    clock = CorrectedClock(lambda: 1_000)
    assert clock.now_ms() == 1_000
    await trio.sleep(2)
    assert clock.now_ms() == 3_000


async def test_after_that_postgresqls_time_goes_on_by_itself(autojump_clock):
    clock = CorrectedClock(lambda: 1_000)
    clock.correct(POSTGRES_MS, error_ms=1)
    await trio.sleep(2)
    assert clock.now_ms() == POSTGRES_MS + 2_000


async def test_a_machine_whose_clock_is_set_tells_the_same_game_time(autojump_clock):
    wall_ms = POSTGRES_MS
    clock = CorrectedClock(lambda: wall_ms)
    clock.correct(POSTGRES_MS, error_ms=1)
    wall_ms -= 60_000
    assert clock.now_ms() == POSTGRES_MS
    assert clock.skew_ms == 0
    clock.correct(POSTGRES_MS, error_ms=1)
    assert (clock.now_ms(), clock.skew_ms) == (POSTGRES_MS, -60_000)


async def test_a_slow_answer_does_not_make_the_time_jump(autojump_clock):
    clock = CorrectedClock(lambda: 0)
    clock.correct(POSTGRES_MS, error_ms=1)
    clock.correct(POSTGRES_MS - 300, error_ms=300)
    assert clock.now_ms() == POSTGRES_MS
    clock.correct(POSTGRES_MS - 301, error_ms=300)
    assert clock.now_ms() == POSTGRES_MS - 301
