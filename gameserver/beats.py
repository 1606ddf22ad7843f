"""Beats: what tasks do again and again they do in step, at multiples of their intervals on Trio's clock.

An idle process that wakes up pays more for that than for what there is to do. Tasks that each began at a time of their
own would wake it one by one; in step they wake it together, and the answers to what they ask come together, too.
"""

import math
from typing import Final

import trio

LEAST: Final = 0.1
"""Of an interval: a beat that is nearer counts as the present one. So nobody who was a hair early beats twice."""


async def next_beat(interval_s: float) -> None:
    await trio.sleep_until(beat_after(trio.current_time(), interval_s))


def beat_after(at: float, interval_s: float) -> float:
    """The time of the beat that follows: a tenth of the interval later at least, and eleven tenths at most."""
    return (math.floor(at / interval_s + LEAST) + 1) * interval_s
