"""One heap for all timers."""

import random

import trio

from gameserver.actors.alarms import SLACK, Alarms


async def test_alarms_ring_once_each_in_order_and_in_time(autojump_clock):
    rung = []
    alarms = Alarms(lambda key: rung.append((key, trio.current_time())))
    times = {str(number): random.Random(number).randrange(1, 1000) for number in range(200)}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        for key, at in times.items():
            alarms.set(key, at)
        await trio.sleep(2_000)
        nursery.cancel_scope.cancel()
    assert sorted(rung, key=lambda each: each[1]) == rung
    assert {key: round(at) for key, at in rung} == times
    assert len(rung) == len(times)


async def test_the_last_set_alarm_counts(autojump_clock):
    rung = []
    alarms = Alarms(lambda key: rung.append((key, round(trio.current_time()))))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        for key, times in {"later": (5, 50), "sooner": (50, 5), "never": (5, None), "same": (7, 7, 7)}.items():
            for at in times:
                alarms.set(key, at)
        await trio.sleep(1)
        alarms.set("at once", 0)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert rung == [("at once", 1), ("sooner", 5), ("same", 7), ("later", 50)]


async def test_an_alarm_that_is_set_while_it_rings_rings_again(autojump_clock):
    rung = []

    def ring(key):
        rung.append(round(trio.current_time()))
        if len(rung) < 3:
            alarms.set(key, trio.current_time() + 10)

    alarms = Alarms(ring)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        alarms.set("clock", 10)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert rung == [10, 20, 30]


async def test_alarms_that_keep_moving_take_no_more_and_more_memory(autojump_clock):
    alarms = Alarms(lambda key: None)
    for number in range(10 * SLACK):
        alarms.set(str(number % 10), 1_000 + number)
    assert len(alarms._heap) <= 2 * 10 + SLACK + 1
