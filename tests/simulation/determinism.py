"""One seed, one run: Trio takes its tasks in an order that only the seed decides."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from trio._core import _run as trio_run

SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"


@contextmanager
def ordered_by(seed: int) -> Iterator[None]:
    """Around `trio.run`. It is a private switch of Trio's, made for Hypothesis: nobody else runs Trio meanwhile."""
    dice = getattr(trio_run, "_r", None)
    assert isinstance(dice, random.Random), "this Trio has other dice: see how its run loop shuffles the tasks"
    assert hasattr(trio_run, SWITCH), "this Trio has another switch: see how its run loop sorts the tasks"
    switch, state = getattr(trio_run, SWITCH), dice.getstate()
    setattr(trio_run, SWITCH, True)
    dice.seed(seed)
    try:
        yield
    finally:
        setattr(trio_run, SWITCH, switch)
        dice.setstate(state)
