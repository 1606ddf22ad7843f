"""Many at the same time, all or so many of them."""

import trio
import trio.testing

from loadtest.each import by_workers


async def test_workers_do_all_the_work_on_so_many_items_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    busy, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await trio.sleep(item)
        busy -= 1
        done.append(item)

    await by_workers(work, range(10), workers=3)
    assert sorted(done) == list(range(10))
    assert most == 3
