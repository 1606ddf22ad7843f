"""The bridge ends every call exactly once, whatever happens to it, and a busy Trio loop does not starve it."""

import asyncio
import contextlib
import threading
import time
from functools import partial

import asyncpg
import pytest
import trio
import trio.testing

from gameserver.persistence import bridge as bridge_module
from gameserver.persistence.bridge import Bridge, BridgeClosed, DeadlineExceeded, open_bridge

LONG_MS = 10_000


async def sleep_forever(log: list[str]) -> None:
    log.append("started")
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.02)  # the caller waits for this, too
        log.append("ended")


async def test_value_exception_and_thread() -> None:
    async def double(number: int) -> int:
        assert threading.current_thread() is here
        return number * 2

    async def fail() -> None:
        raise LookupError("over there")

    here = threading.current_thread()
    async with open_bridge() as bridge:
        assert await bridge.call(double, 21, deadline_ms=LONG_MS) == 42
        with pytest.raises(LookupError, match="over there"):
            await bridge.call(fail, deadline_ms=LONG_MS)


async def test_deadline() -> None:
    log: list[str] = []
    async with open_bridge() as bridge:
        with pytest.raises(DeadlineExceeded):
            await bridge.call(sleep_forever, log, deadline_ms=50)
        assert log == ["started", "ended"]


async def test_a_timeout_of_the_function_itself_is_its_own() -> None:
    async def fail() -> None:
        raise TimeoutError("mine")

    async with open_bridge() as bridge:
        with pytest.raises(TimeoutError, match="mine"):
            await bridge.call(fail, deadline_ms=LONG_MS)


async def test_cancellation_goes_across_and_is_waited_for() -> None:
    log: list[str] = []
    async with open_bridge() as bridge:
        with trio.move_on_after(0.05) as scope:
            await bridge.call(sleep_forever, log, deadline_ms=LONG_MS)
        assert scope.cancelled_caught
        assert log == ["started", "ended"]


async def test_a_call_that_finishes_in_spite_of_cancellation_gives_its_value() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"
        return "slept"

    async with open_bridge() as bridge:
        with trio.move_on_after(0.05):
            assert await bridge.call(stubborn, deadline_ms=LONG_MS) == "done"


async def test_closing_with_calls_in_flight_wakes_them_once() -> None:
    log: list[str] = []
    refused: list[Exception] = []

    async def call(bridge: Bridge) -> None:
        with pytest.raises(BridgeClosed) as raised:
            await bridge.call(sleep_forever, log, deadline_ms=LONG_MS)
        refused.append(raised.value)

    async with trio.open_nursery() as nursery, open_bridge() as bridge:
        for _ in range(10):
            nursery.start_soon(call, bridge)
        await trio.testing.wait_all_tasks_blocked(0.1)
    assert len(refused) == 10
    assert log.count("ended") == 10
    with pytest.raises(BridgeClosed):
        await bridge.call(sleep_forever, log, deadline_ms=LONG_MS)


async def test_who_waits_for_what_does_not_end_is_woken_at_the_deadline_for_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never_end() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def call(bridge: Bridge) -> None:
        with pytest.raises(BridgeClosed):
            await bridge.call(never_end, deadline_ms=LONG_MS)

    monkeypatch.setattr(bridge_module, "CLOSE_DEADLINE_S", 0.05)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery, open_bridge() as bridge:
            nursery.start_soon(call, bridge)
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_the_first_step_is_done_before_the_call_waits() -> None:
    log: list[str] = []

    async def note_what_was_done() -> None:
        await began.wait()
        log.append("somebody else's turn")

    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        began = trio.Event()
        nursery.start_soon(note_what_was_done)
        await trio.testing.wait_all_tasks_blocked()
        began.set()
        with trio.move_on_after(0.05):
            await bridge.call(sleep_forever, log, deadline_ms=LONG_MS)
    assert log == ["started", "somebody else's turn", "ended"]


async def test_cleaning_up_in_a_cancelled_scope_goes_on_to_its_end() -> None:
    log: list[str] = []
    with trio.CancelScope() as scope:
        async with open_bridge() as bridge:
            try:
                scope.cancel()
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await bridge.call(asyncio.sleep, 0.02, deadline_ms=LONG_MS)
                    log.append("cleaned up")
    assert log == ["cleaned up"]


async def test_the_death_of_the_loop_wakes_everyone_and_is_not_kept_quiet() -> None:
    async def die() -> None:
        await asyncio.sleep(0.001)  # a timer: where it rings, the loop's own task goes on with this
        raise SystemExit("killed")

    log: list[str] = []

    async def wait(bridge: Bridge) -> None:
        try:
            await bridge.call(sleep_forever, [], deadline_ms=LONG_MS)
        except BridgeClosed:
            log.append("woken")

    async def kill(bridge: Bridge) -> None:
        with contextlib.suppress(SystemExit):  # the loop raises it, too
            await bridge.call(die, deadline_ms=LONG_MS)

    async def live() -> None:
        async with trio.open_nursery() as nursery, open_bridge() as bridge:
            nursery.start_soon(wait, bridge)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(kill, bridge)
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as raised, trio.fail_after(5):
        await live()
    assert raised.value.split(SystemExit)[0] is not None
    assert log == ["woken"]


async def test_timers_ring_on_time() -> None:
    async def wait(seconds: float) -> float:
        began = trio.current_time()
        await asyncio.sleep(seconds)
        return trio.current_time() - began

    waits = [0.001, 0.01, 0.12, 0.3]
    took: dict[float, float] = {}
    async with open_bridge() as bridge, trio.open_nursery() as nursery:

        async def note(seconds: float) -> None:
            took[seconds] = await bridge.call(wait, seconds, deadline_ms=LONG_MS)

        for seconds in waits:
            nursery.start_soon(note, seconds)
    assert all(seconds <= took[seconds] < seconds + 1 for seconds in waits)


async def test_what_other_threads_schedule_is_done() -> None:
    async def look_up() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)

    async with open_bridge() as bridge:
        assert await bridge.call(look_up, deadline_ms=LONG_MS) != threading.get_ident()


async def test_a_driver_that_goes_on_and_on_lets_others_have_their_turns() -> None:
    async def work(log: list[str]) -> None:
        for _ in range(200):
            busy_until = time.perf_counter() + 0.000_1
            while time.perf_counter() < busy_until:
                pass
            await asyncio.sleep(0)
        log.append("done")

    log: list[str] = []
    turns = 0
    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        nursery.start_soon(partial(bridge.call, work, log, deadline_ms=LONG_MS))
        while not log:
            await trio.lowlevel.checkpoint()
            turns += 1
    assert turns >= 10


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async def echo(number: int) -> int:
        await asyncio.sleep(number % 7 / 1_000)
        return number

    answers: dict[int, int] = {}
    async with open_bridge() as bridge, trio.open_nursery() as nursery:

        async def call(number: int) -> None:
            with trio.move_on_after(0.003 if number % 3 else 5):
                answers[number] = await bridge.call(echo, number, deadline_ms=LONG_MS)

        for number in range(500):
            nursery.start_soon(call, number)
    assert all(number == answer for number, answer in answers.items())
    assert {number for number in range(500) if number % 3 == 0} <= set(answers)


async def test_a_saturated_trio_loop_does_not_starve_queries(database: str) -> None:
    """The loop is busy in slices of 0.3 ms, between which asyncio's has its turns.

    The p99 is the best of three rounds: other tests may be using the machine, too.
    """

    async def burn() -> None:
        while True:
            end = time.perf_counter() + 0.000_3
            while time.perf_counter() < end:
                pass
            await trio.lowlevel.checkpoint()

    async def took_ms(bridge: Bridge, connection: asyncpg.Connection) -> list[float]:
        took = []
        for _ in range(500):
            start = time.perf_counter()
            assert await bridge.call(connection.fetchval, "SELECT 1", deadline_ms=LONG_MS) == 1
            took.append((time.perf_counter() - start) * 1_000)
        return sorted(took)

    async with open_bridge() as bridge:
        connection = await bridge.call(lambda: asyncpg.connect(database), deadline_ms=LONG_MS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(burn)
            rounds = [await took_ms(bridge, connection) for _ in range(3)]
            nursery.cancel_scope.cancel()
        await bridge.call(connection.close, deadline_ms=LONG_MS)
    assert min(took[494] for took in rounds) <= 10
    assert max(took[-1] for took in rounds) <= 500
