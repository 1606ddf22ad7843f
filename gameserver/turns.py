"""Taking turns: who walks over many things lets the others have a turn each half millisecond.

A walk is an iterable whose steps are short: what is done between two steps is done in one go, and at every step the
others may come in between, so it must be true to everybody by then. A walk is a generator that yields after each step,
and may lead through others by `yield from`; or it is as simple as `map(tell, list(many))`. Between steps somebody looks
at the clock, so where a step is next to nothing, `strides` makes one of several.

Time is Trio's. On a virtual clock a walk pauses only where a test lets its steps take time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import trio

T = TypeVar("T")

TURN_S: Final = 0.000_5
"""Who has worked for this long lets others have a turn."""

Walk = Iterable[None]


async def in_turns(walk: Walk) -> None:
    """Walk to the end. A checkpoint whenever a turn is over, and only then: a short walk is no checkpoint."""
    steps = iter(walk)
    while not one_turn(steps):
        await trio.lowlevel.checkpoint()


def trio_clock() -> Callable[[], float]:
    """What `trio.current_time()` reads, at half its cost: for who looks at it at every step. Only within Trio."""
    return trio.lowlevel.current_clock().current_time


def one_turn(steps: Iterator[None]) -> bool:
    """Go on with a walk for one turn; gives whether that was the end of it."""
    now = trio_clock()
    turn_ends_at = now() + TURN_S
    for _ in steps:  # noqa: SIM110 - a generator within would be resumed at each step, too
        if now() >= turn_ends_at:
            return False
    return True


def strides(many: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    """The same, so many at a time; also what is appended on the way."""
    first = 0
    while first < len(many):
        yield many[first : first + length]
        first += length


def at_once(walk: Walk) -> None:
    """Walk to the end without a pause: for who has to be done before anybody else goes on."""
    for _ in walk:
        pass
