"""The time of the game: PostgreSQL's, carried on by this process's monotonic clock.

All nodes share it, to within a few milliseconds, and a machine's wall clock that is wrong, or is set while we run,
changes nothing. How wrong it is stays visible as `skew_ms`: what is not the game's, such as a token's end, goes by it.
"""

import time
from collections.abc import Callable

from gameserver.turns import trio_clock


def machine_ms() -> int:
    """This machine's wall clock."""
    return time.time_ns() // 1_000_000


class CorrectedClock:
    """Until PostgreSQL has been asked, `wall_ms` is believed."""

    def __init__(self, wall_ms: Callable[[], int] = machine_ms) -> None:
        self._wall_ms, self._monotonic_s = wall_ms, trio_clock()
        self._began_at_ms = wall_ms() - round(self._monotonic_s() * 1_000)
        self.skew_ms = 0
        """How far this machine's wall clock is ahead of PostgreSQL's."""

    def now_ms(self) -> int:
        return self._began_at_ms + round(self._monotonic_s() * 1_000)

    def correct(self, postgres_ms: int, error_ms: int) -> None:
        """PostgreSQL's clock says `postgres_ms` now, give or take `error_ms`. What lies within that is left as it is: a
        slow answer shall not make the time jump."""
        behind_ms = postgres_ms - self.now_ms()
        if abs(behind_ms) > error_ms:
            self._began_at_ms += behind_ms
        self.skew_ms = self._wall_ms() - self.now_ms()
