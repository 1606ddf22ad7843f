"""How long to wait before the next try: longer after each failure, and never in step with others."""

from typing import Final, Protocol

from gameserver.errors import Refused

DOUBLINGS_LIMIT: Final = 30
SPREAD: Final = 1.2


class Dice(Protocol):
    def uniform(self, a: float, b: float) -> float: ...


def backoff_s(failures: int, first_ms: int, most_ms: int, dice: Dice) -> float:
    """Exponential, with full jitter."""
    return dice.uniform(0, min(most_ms, first_ms << min(failures, DOUBLINGS_LIMIT))) / 1000


def retry_pause_s(refused: Refused, failures: int, first_ms: int, most_ms: int, dice: Dice) -> float:
    """What the server has asked for, or else as above."""
    if refused.retry_after_ms is None:
        return backoff_s(failures, first_ms, most_ms, dice)
    return dice.uniform(1, SPREAD) * refused.retry_after_ms / 1000
