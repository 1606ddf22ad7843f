"""The pulse of a node's event loop: how late it runs, and a sign of life to whoever supervises the process.

The loop does everything here, so if it is late, everything is. A task that wants to run at fixed times notes how late
it comes. A node that is late all the time gets no more players; one that hangs gives no sign, and is ended.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from gameserver.beats import beat_after
from gameserver.config import NodeSettings

INTERVAL_S: Final = 0.1
REMEMBERED: Final = 100
"""Of the last ten seconds."""


class Pulse:
    def __init__(self, settings: NodeSettings, sign: Callable[[], None]) -> None:
        self._settings, self._sign = settings, sign
        self._lags_ms = deque([0.0], maxlen=REMEMBERED)
        self._late_since: float | None = None

    async def run(self) -> None:
        while True:
            due = beat_after(trio.current_time(), INTERVAL_S)
            await trio.sleep_until(due)
            self._note((trio.current_time() - due) * 1_000)
            self._sign()

    @property
    def lag_max_ms(self) -> float:
        return max(self._lags_ms)

    @property
    def lag_p99_ms(self) -> float:
        ordered = sorted(self._lags_ms)
        return ordered[math.ceil(len(ordered) * 0.99) - 1]

    @property
    def late(self) -> bool:
        """Each time, and for too long."""
        patience_s = self._settings.lag_patience_ms / 1_000
        return self._late_since is not None and trio.current_time() - self._late_since >= patience_s

    def _note(self, lag_ms: float) -> None:
        self._lags_ms.append(lag_ms)
        if lag_ms <= self._settings.lag_limit_ms:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = trio.current_time()
