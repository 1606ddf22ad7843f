"""How often an actor may crash: more than `intensity` times within `period` and it is set aside (OTP's rule)."""

from collections import deque

from gameserver.config import ActorSettings


class Restarts:
    def __init__(self, limits: ActorSettings) -> None:
        self._limits = limits
        self._crashes: dict[str, deque[float]] = {}

    def crashed(self, actor_id: str, now: float) -> float | None:
        """Seconds to wait before the next life; None if there shall be none."""
        self._forget(now)
        crashes = self._crashes.setdefault(actor_id, deque())
        crashes.append(now)
        if len(crashes) > self._limits.restart_intensity:
            del self._crashes[actor_id]
            return None
        pause_ms = self._limits.restart_backoff_ms * 2 ** (len(crashes) - 1)
        return float(min(pause_ms, self._limits.restart_backoff_max_ms)) / 1000

    def _forget(self, now: float) -> None:
        """Only crashes within the period count; so what is kept is bounded by what can crash in that time."""
        oldest = now - self._limits.restart_period_ms / 1000
        for actor_id, crashes in list(self._crashes.items()):
            while crashes and crashes[0] < oldest:
                crashes.popleft()
            if not crashes:
                del self._crashes[actor_id]
