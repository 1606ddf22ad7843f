"""From a fault to the first command that each battle accepted after it, as its players saw it.

What counts is the time in the event itself: a command that was accepted just before the fault, and seen after it, shows
nothing.
"""

import time
from collections.abc import Iterable

import trio
from attrs import define, field

from gameserver.client.connection import Event
from loadtest.proof import PLAY


def _all_of(battles: Iterable[str]) -> set[str]:
    return set(battles)


@define(eq=False)
class Recovery:
    """`times_s`: battle ID → seconds from the fault; `missing` are the battles that have not accepted anything yet."""

    missing: set[str] = field(converter=_all_of)
    struck_at: float = field(factory=trio.current_time)
    struck_at_ms: int = field(factory=lambda: time.time_ns() // 1_000_000)
    times_s: dict[str, float] = field(factory=dict)
    _done: trio.Event = field(factory=trio.Event)

    def hear(self, event: Event) -> None:
        payload = event["payload"]
        if event["event"] in PLAY and payload["at"] > self.struck_at_ms and payload["battleId"] in self.missing:
            self.missing.remove(payload["battleId"])
            self.times_s[payload["battleId"]] = trio.current_time() - self.struck_at
            if not self.missing:
                self._done.set()

    async def done(self) -> None:
        """Until no battle is missing."""
        if self.missing:
            await self._done.wait()
