"""The contract of Rates, for the one in Redis and the one in memory; and what Redis's absence changes: nothing seen."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from attrs import evolve

from gameserver.cluster.ports import RateQuestion, Rates
from gameserver.config import RedisSettings
from gameserver.persistence.memory_rates import MemoryRates
from gameserver.persistence.redis_rates import RedisRates
from tests.integration.redis_world import opened_store

PERIOD_MS = 300
JOIN = RateQuestion("join", "ann", "1", limit=3, period_ms=60_000)

Opened = Callable[[], contextlib.AbstractAsyncContextManager[Rates]]


@pytest.fixture(params=["redis", "memory", "redis away"])
def opened(request: pytest.FixtureRequest) -> Opened:
    @contextlib.asynccontextmanager
    async def open_rates() -> AsyncIterator[Rates]:
        if request.param == "memory":
            yield MemoryRates(windows_limit=100)
            return
        away = request.param == "redis away"
        async with opened_store("redis://127.0.0.1:1/0" if away else request.getfixturevalue("redis_url")) as store:
            yield RedisRates(store, RedisSettings())

    if request.param == "redis":
        request.getfixturevalue("redis_url")
    return open_rates


def attempts(question: RateQuestion, *names: str) -> list[RateQuestion]:
    return [evolve(question, attempt=name) for name in names]


async def test_so_many_are_allowed_and_the_next_is_told_how_long_to_wait(opened: Opened) -> None:
    async with opened() as rates:
        assert await rates.take(attempts(JOIN, "1", "2", "3")) == [None, None, None]
        (wait_ms,) = await rates.take(attempts(JOIN, "4"))
        assert wait_ms is not None
        assert 0 < wait_ms <= 60_000


async def test_the_same_attempt_counts_once(opened: Opened) -> None:
    async with opened() as rates:
        assert await rates.take(attempts(JOIN, "1", "1", "1", "2", "3")) == [None] * 5
        assert await rates.take(attempts(JOIN, "3", "1")) == [None, None]
        assert (await rates.take(attempts(JOIN, "4")))[0] is not None


async def test_attempts_that_came_to_nothing_are_given_back(opened: Opened) -> None:
    async with opened() as rates:
        assert await rates.take(attempts(JOIN, "1", "2", "3")) == [None] * 3
        await rates.give_back(attempts(JOIN, "1", "3"))
        assert await rates.take(attempts(JOIN, "4", "5")) == [None] * 2
        assert (await rates.take(attempts(JOIN, "1")))[0] is not None


async def test_a_refused_attempt_is_not_counted(opened: Opened) -> None:
    async with opened() as rates:
        once = evolve(JOIN, limit=1, period_ms=PERIOD_MS)
        assert await rates.take([once]) == [None]
        await trio.sleep(PERIOD_MS / 2_000)
        assert (await rates.take(attempts(once, "2")))[0] is not None
        await trio.sleep(PERIOD_MS / 2_000 + 0.05)
        assert await rates.take(attempts(once, "3")) == [None]


async def test_the_window_slides_and_the_wait_is_true(opened: Opened) -> None:
    async with opened() as rates:
        twice = evolve(JOIN, limit=2, period_ms=PERIOD_MS)
        assert await rates.take(attempts(twice, "1")) == [None]
        await trio.sleep(PERIOD_MS / 2_000)
        assert await rates.take(attempts(twice, "2")) == [None]
        (wait_ms,) = await rates.take(attempts(twice, "3"))
        assert wait_ms is not None
        assert wait_ms <= PERIOD_MS / 2 + 1
        await trio.sleep(wait_ms / 1_000 + 0.005)
        third, fourth = await rates.take(attempts(twice, "3", "4"))
        assert third is None
        assert fourth is not None


async def test_actions_and_subjects_are_counted_apart(opened: Opened) -> None:
    async with opened() as rates:
        once = evolve(JOIN, limit=1)
        others = [once, evolve(once, subject="bob"), evolve(once, action="create")]
        assert await rates.take(others) == [None, None, None]


@pytest.mark.parametrize(("limit", "period_ms", "allowed"), [(0, 1_000, False), (1, 0, True)])
async def test_no_limit_and_no_period(opened: Opened, limit: int, period_ms: int, allowed: bool) -> None:
    async with opened() as rates:
        waits = await rates.take(attempts(evolve(JOIN, limit=limit, period_ms=period_ms), "1", "2"))
        assert [wait_ms is None for wait_ms in waits] == [allowed, allowed]


async def test_many_questions_are_answered_in_order(opened: Opened) -> None:
    async with opened() as rates:
        asked = [evolve(JOIN, subject=str(n // 2), attempt=str(n), limit=1) for n in range(1_200)]
        waits = await rates.take(asked)
        assert [wait_ms is None for wait_ms in waits] == [n % 2 == 0 for n in range(1_200)]
        assert await rates.take([]) == []


async def test_memory_is_bounded() -> None:
    rates = MemoryRates(windows_limit=10)
    await rates.take([evolve(JOIN, subject=str(n)) for n in range(25)])
    assert (len(rates), rates.forgotten) == (10, 15)
