"""Consumers of the outbox, on an outbox in memory: order, retries, and rows that nobody can digest."""

from collections.abc import Sequence

import trio
from attrs import define, field
from structlog.testing import capture_logs
from trio.testing import MockClock

from gameserver.cluster.consumers import Consumers
from gameserver.cluster.ports import News
from gameserver.config import JournalSettings
from gameserver.errors import StorageUnavailable


@define
class MemoryOutbox:
    rows: list[News] = field(factory=list)
    failures: int = 0
    added: int = 0

    def add(self, actor_id: str, topic: str = "score") -> None:
        self.added += 1
        self.rows.append(News(self.added, actor_id, self.added, topic, {}))

    async def read(self, limit: int) -> Sequence[News]:
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("away")
        return self.rows[:limit]

    async def finish(self, ids: Sequence[int]) -> None:
        self.rows = [row for row in self.rows if row.id not in ids]


@define
class Taker:
    """Notes what it got; refuses an ID as often as `refusals` says."""

    refusals: dict[int, int] = field(factory=dict)
    got: list[int] = field(factory=list)

    async def __call__(self, news: News) -> None:
        await trio.lowlevel.checkpoint()
        if self.refusals.get(news.id, 0) > 0:
            self.refusals[news.id] -= 1
            raise RuntimeError("no")
        self.got.append(news.id)


SETTINGS = JournalSettings(outbox_batch=3, outbox_attempts=4, outbox_set_aside_limit=2)


async def consumed(outbox: MemoryOutbox, takers: Sequence[Taker], seconds: float = 0.5) -> Consumers:
    consumers = Consumers(outbox, {"score": takers}, SETTINGS)
    with trio.move_on_after(seconds):
        await consumers.run()
    return consumers


async def test_everything_is_handed_over_in_order_and_deleted(autojump_clock: MockClock) -> None:
    outbox, taker, other = MemoryOutbox(), Taker(), Taker()
    for number in range(10):
        outbox.add(f"battle-{number % 2}")
    outbox.add("battle-0", topic="nobody asked")
    consumers = await consumed(outbox, [taker, other])
    assert taker.got == other.got == list(range(1, 11))
    assert outbox.rows == []
    assert consumers.counters.handed_over == 11


async def test_new_rows_are_handed_over_when_woken_or_at_the_interval(autojump_clock: MockClock) -> None:
    outbox, taker = MemoryOutbox(), Taker()
    consumers = Consumers(outbox, {"score": [taker]}, SETTINGS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(consumers.run)
        await trio.sleep(0.1)
        outbox.add("battle")
        consumers.wake()
        await trio.sleep(0.01)
        assert taker.got == [1]
        outbox.add("battle")
        await trio.sleep(0.5)
        assert taker.got == [1]
        await trio.sleep(0.6)
        assert taker.got == [1, 2]
        nursery.cancel_scope.cancel()


async def test_a_failed_row_is_tried_again_and_its_actor_waits_for_it_alone(autojump_clock: MockClock) -> None:
    outbox, first, second = MemoryOutbox(), Taker(), Taker({1: 2})
    for actor in ("a", "a", "b", "b", "a"):
        outbox.add(actor)
    consumers = await consumed(outbox, [first, second], 1.5)
    assert second.got == [3, 4, 1, 2, 5]
    assert first.got == [1, 3, 4, 2, 5], "who was done with it does not get it again"
    assert (outbox.rows, consumers.retrying, consumers.counters.failures) == ([], 0, 2)


async def test_a_row_that_fails_too_often_is_set_aside_and_blocks_nobody(autojump_clock: MockClock) -> None:
    outbox, taker = MemoryOutbox(), Taker({1: 1_000})
    for actor in ("a", "a", "b"):
        outbox.add(actor)
    with capture_logs() as logs:
        consumers = await consumed(outbox, [taker], 30)
    assert taker.got == [3, 2]
    assert [row.id for row in outbox.rows] == [1], "the next start tries it again"
    assert consumers.set_aside == 1
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["outbox.set_aside"]
    assert taker.refusals[1] == 996


async def test_more_poison_than_a_batch_starves_nobody_and_is_bounded(autojump_clock: MockClock) -> None:
    outbox, taker = MemoryOutbox(), Taker(dict.fromkeys(range(1, 21), 1_000))
    for number in range(25):
        outbox.add(f"battle-{number}")
    with capture_logs() as logs:
        consumers = await consumed(outbox, [taker], 60)
    assert sorted(taker.got) == [21, 22, 23, 24, 25]
    assert (consumers.set_aside, consumers.retrying, len(outbox.rows)) == (2, 0, 2)
    assert len([line for line in logs if line["event"] == "outbox.dropped"]) == consumers.counters.dropped == 18


async def test_a_consumer_that_hangs_is_ended_by_its_deadline(autojump_clock: MockClock) -> None:
    outbox, hung = MemoryOutbox(), [0]

    async def hang_once(news: News) -> None:
        hung[0] += 1
        if hung[0] == 1:
            await trio.sleep_forever()

    outbox.add("a")
    consumers = Consumers(outbox, {"score": [hang_once]}, SETTINGS)
    with trio.move_on_after(10):
        await consumers.run()
    assert hung[0] == 2
    assert outbox.rows == []


async def test_a_database_that_is_away_is_waited_for(autojump_clock: MockClock) -> None:
    outbox, taker = MemoryOutbox(failures=3), Taker()
    outbox.add("a")
    with capture_logs() as logs:
        await consumed(outbox, [taker], 5)
    assert taker.got == [1]
    assert [line["event"] for line in logs] == ["outbox.unreachable"]
