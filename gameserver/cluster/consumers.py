"""What follows from commits, after them: outbox rows, handed to those who asked for their topic.

One task reads the oldest rows in batches and hands each to its consumers, one after the other; rows that are done are
deleted together. At least once: a crash between the two hands a row over again, so consumers are idempotent by
`News.id`.

- Rows are read while `is_here` says that this node is the one that shall (see outbox_place.py).
- Rows of one actor are handed over in order. While one of them is tried again, later ones of the same actor wait behind
  it; rows of other actors don't.
- A consumer that raises, or takes longer than its deadline, gets the row again after a pause that doubles. Consumers of
  the row that were done with it do not, unless the process restarts.
- After `outbox_attempts` a row is set aside: it stays in the outbox, nothing waits for it, and the next start tries it
  again. Beyond `outbox_set_aside_limit` the oldest of them is dropped, with its whole content in the log.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
import trio
from attrs import define

from gameserver.beats import beat_after
from gameserver.cluster.ports import News, Outbox
from gameserver.config import JournalSettings
from gameserver.errors import JournalError

log = structlog.get_logger()

Consumer = Callable[[News], Awaitable[None]]

DOUBLINGS_LIMIT: Final = 30


@define
class _Trouble:
    """A row that failed: how often, when it is next due, and how many of its consumers are done with it."""

    consumers_done: int = 0
    attempts: int = 0
    due_at: float = 0.0


@define
class ConsumerCounters:
    handed_over: int = 0
    failures: int = 0
    dropped: int = 0


class Consumers:
    def __init__(
        self,
        outbox: Outbox,
        by_topic: Mapping[str, Sequence[Consumer]],
        settings: JournalSettings,
        is_here: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox, self._by_topic, self._settings, self._is_here = outbox, by_topic, settings, is_here
        self._wake = trio.Event()
        self._troubles: dict[int, _Trouble] = {}
        self._set_aside: dict[int, News] = {}
        self._unreachable = False
        self.counters = ConsumerCounters()

    @property
    def retrying(self) -> int:
        return len(self._troubles)

    @property
    def set_aside(self) -> int:
        return len(self._set_aside)

    def wake(self) -> None:
        """There are new rows. Never blocks."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake = trio.Event()
            if await self._pass():
                continue
            with trio.move_on_at(self._next_at()):
                await self._wake.wait()

    async def _pass(self) -> bool:
        """Hand over one batch. True if there may be more to do at once."""
        if not self._is_here():
            self._troubles.clear()  # they are somebody else's now
            return False
        batch = self._settings.outbox_batch
        limit = batch + len(self._set_aside) + min(len(self._troubles), batch)  # those in trouble come first, too
        try:
            rows = await self._outbox.read(limit)
            done = await self._hand_over_in_order(rows)
            await self._outbox.finish(done)
        except JournalError as error:
            if not self._unreachable:
                log.warning("outbox.unreachable", error=str(error))
            self._unreachable = True
            return False
        self._unreachable = False
        return len(rows) == limit and bool(done)

    async def _hand_over_in_order(self, rows: Sequence[News]) -> list[int]:
        """The IDs of the rows that need not be seen again."""
        done = self._drop_beyond_limit()
        held_back: set[str] = set()
        for news in rows:
            if news.id in self._set_aside or news.id in done or news.actor_id in held_back:
                continue
            trouble = self._troubles.get(news.id) or _Trouble()
            if trouble.due_at <= trio.current_time() and await self._hand_over(news, trouble):
                self._troubles.pop(news.id, None)
                done.append(news.id)
            elif news.id not in self._set_aside:
                held_back.add(news.actor_id)
        return done

    async def _hand_over(self, news: News, trouble: _Trouble) -> bool:
        for consumer in self._by_topic.get(news.topic, ())[trouble.consumers_done :]:
            try:
                with trio.fail_after(self._settings.outbox_deadline_ms / 1_000):
                    await consumer(news)
            except Exception as error:  # noqa: BLE001  # whatever it is, the other rows go on
                self._failed(news, trouble, error)
                return False
            trouble.consumers_done += 1
        self.counters.handed_over += 1
        return True

    def _failed(self, news: News, trouble: _Trouble, error: Exception) -> None:
        self.counters.failures += 1
        trouble.attempts += 1
        said = log.bind(outbox_id=news.id, topic=news.topic, actor_id=news.actor_id, attempts=trouble.attempts)
        if trouble.attempts >= self._settings.outbox_attempts:
            self._troubles.pop(news.id, None)
            self._set_aside[news.id] = news
            said.error("outbox.set_aside", exc_info=error)
            return
        doubled_ms = self._settings.outbox_backoff_ms << min(trouble.attempts - 1, DOUBLINGS_LIMIT)
        trouble.due_at = trio.current_time() + min(doubled_ms, self._settings.outbox_backoff_max_ms) / 1_000
        self._troubles[news.id] = trouble
        said.warning("outbox.consumer_failed", exc_info=error)

    def _drop_beyond_limit(self) -> list[int]:
        dropped = []
        while len(self._set_aside) > self._settings.outbox_set_aside_limit:
            news = self._set_aside.pop(next(iter(self._set_aside)))
            log.error("outbox.dropped", outbox_id=news.id, topic=news.topic, seq=news.seq, payload=news.payload)
            self.counters.dropped += 1
            dropped.append(news.id)
        return dropped

    def _next_at(self) -> float:
        """When to look again: at the next beat, or when a row is due again."""
        interval_s = self._settings.outbox_interval_ms / 1_000
        due = (trouble.due_at for trouble in self._troubles.values())
        return min([beat_after(trio.current_time(), interval_s), *due])
