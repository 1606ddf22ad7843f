"""Rates counted in this process: what a node falls back to while Redis is away, and what tests use.

A window is the attempts that were allowed within the last period, oldest first. The number of windows is bounded;
beyond it the one that was asked for longest ago is forgotten, which errs in the player's favour.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import trio

from gameserver.cluster.ports import RateQuestion


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class MemoryRates:
    def __init__(self, windows_limit: int, now_ms: Callable[[], int] = monotonic_ms) -> None:
        self._windows: OrderedDict[tuple[str, str], dict[str, int]] = OrderedDict()
        self._windows_limit = windows_limit
        self._now_ms = now_ms
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._windows)

    async def take(self, asked: Sequence[RateQuestion]) -> Sequence[int | None]:
        await trio.lowlevel.checkpoint()
        return self.take_now(asked)

    def take_now(self, asked: Sequence[RateQuestion]) -> Sequence[int | None]:
        now_ms = self._now_ms()
        return [self._take_one(question, now_ms) for question in asked]

    async def give_back(self, unused: Sequence[RateQuestion]) -> None:
        await trio.lowlevel.checkpoint()
        self.give_back_now(unused)

    def give_back_now(self, unused: Sequence[RateQuestion]) -> None:
        for question in unused:
            self._windows.get((question.action, question.subject), {}).pop(question.attempt, None)

    def _take_one(self, question: RateQuestion, now_ms: int) -> int | None:
        if question.limit <= 0:
            return question.period_ms
        window = self._window(question.action, question.subject)
        for attempt, taken_at_ms in list(window.items()):
            if taken_at_ms > now_ms - question.period_ms:
                break
            del window[attempt]
        if question.attempt in window:
            return None
        if len(window) >= question.limit:
            leaves_next = list(window.values())[len(window) - question.limit]
            return leaves_next + question.period_ms - now_ms
        window[question.attempt] = now_ms
        return None

    def _window(self, action: str, subject: str) -> dict[str, int]:
        window = self._windows.setdefault((action, subject), {})
        self._windows.move_to_end((action, subject))
        if len(self._windows) > self._windows_limit:
            self._windows.popitem(last=False)
            self.forgotten += 1
        return window
