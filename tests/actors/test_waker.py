"""Who is found asleep is woken once at a time, however often it is found."""

from itertools import pairwise

import trio

from gameserver.actors.cell import Cell
from gameserver.actors.mailbox import Mailbox
from gameserver.actors.messages import Wake
from gameserver.actors.ports import Sleeper
from gameserver.actors.waker import Waker
from gameserver.config import ActorSettings

LIMITS = ActorSettings(wake_interval_ms=100, wakes_limit=4)


class SameSleepers:
    """A journal that finds the same actors every time, and each twice."""

    def __init__(self, *actor_ids):
        self._sleepers = [Sleeper(actor_id, 5, "battle/nasty/1") for actor_id in actor_ids for _ in range(2)]

    async def sleepers(self, *_asked):
        await trio.lowlevel.checkpoint()
        return list(self._sleepers)


class Kinds:
    rules = ("battle/nasty/1",)


class Clock:
    def now_ms(self):
        return 10


class Catalog:
    """Actors that take a second to be restored, and are idle at once."""

    def __init__(self, nursery):
        self.cells, self.woken, self._nursery = {}, [], nursery

    def deliver(self, message):
        assert isinstance(message.command, Wake)
        self.woken.append((message.actor_id, trio.current_time()))
        cell = self.cells[message.actor_id] = Cell(message.actor_id, Mailbox(10), 0)
        self._nursery.start_soon(self._live, cell)

    async def _live(self, cell):
        await trio.sleep(1)
        del self.cells[cell.actor_id]
        cell.settled.set()


async def test_who_is_found_again_while_it_is_woken_is_woken_once(autojump_clock, nursery):
    catalog = Catalog(nursery)
    waker = Waker(catalog.cells, catalog.deliver, SameSleepers("one", "two"), Kinds(), Clock(), LIMITS)
    nursery.start_soon(waker.run, lambda _sleeper, _now_ms: True)
    await trio.sleep(0.95)
    assert [actor_id for actor_id, _ in catalog.woken] == ["one", "two"]
    await trio.sleep(5)
    times = {actor_id: [at for each, at in catalog.woken if each == actor_id] for actor_id in ("one", "two")}
    for each in times.values():
        assert len(each) >= 5
        assert all(later - earlier >= 1 for earlier, later in pairwise(each))


async def test_no_more_than_the_limit_are_woken_at_a_time(autojump_clock, nursery):
    catalog = Catalog(nursery)
    crowd = [f"actor {number}" for number in range(20)]
    waker = Waker(catalog.cells, catalog.deliver, SameSleepers(*crowd), Kinds(), Clock(), LIMITS)
    nursery.start_soon(waker.run, lambda _sleeper, _now_ms: True)
    for _ in range(50):
        await trio.sleep(0.1)
        assert len(catalog.cells) <= LIMITS.wakes_limit
    assert {actor_id for actor_id, _ in catalog.woken} == set(crowd)
