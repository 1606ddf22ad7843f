"""A node that stands still: none of its tasks takes a step, and each goes on as if nothing had been."""

import trio
from trio.testing import MockClock

from tests.simulation.frost import Frost, FrostWatch


def test_frozen_tasks_take_no_step_until_the_thaw_and_then_all_go_on():
    watch, frost, steps = FrostWatch(), Frost(), []

    async def tick(name):
        for _ in range(4):
            await trio.sleep(1)
            steps.append((name, trio.current_time()))

    async def node():
        watch.cover(frost)
        async with trio.open_nursery() as nursery:
            for name in ("one", "two"):
                nursery.start_soon(tick, name)

    async def world():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node)
            nursery.start_soon(tick, "another")
            await trio.sleep(1.5)
            frost.freeze()
            await trio.sleep(10)
            frost.thaw()

    trio.run(world, clock=MockClock(autojump_threshold=0), instruments=[watch])
    times = {each: [at for name, at in steps if name == each] for each in ("one", "two", "another")}
    assert times == {"one": [1, 11.5, 12.5, 13.5], "two": [1, 11.5, 12.5, 13.5], "another": [1, 2, 3, 4]}


def test_what_is_cancelled_in_the_frost_ends_after_the_thaw():
    watch, frost, ended_at = FrostWatch(), Frost(), []

    async def node(scope):
        watch.cover(frost)
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
        ended_at.append(trio.current_time())

    async def world():
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node, scope)
            await trio.sleep(1)
            frost.freeze()
            scope.cancel()
            await trio.sleep(2)
            frost.thaw()

    trio.run(world, clock=MockClock(autojump_threshold=0), instruments=[watch])
    assert ended_at == [3]
