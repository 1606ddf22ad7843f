"""How a mode of play is written: one Python file with attrs classes and five pure functions.

A mode owns what happens inside a battle; who takes part, when it begins and what finishing means for the groups
is the battle's own business (`game/battle.py`). The contract:

- `decide(state, command, now, dice)` returns the events that the command causes, or raises `Refused`. It changes
  nothing. `now` is wall-clock milliseconds and never runs backwards within a battle. `dice` derive from the
  battle's secret seed and the position in its journal, so a crash rerolls nothing.
- `apply(state, event)` changes the state in place and cannot fail. It also sees `Joined`, `Begun` and `Stopped`,
  and ignores what it does not know. Everything random or timed comes from the event itself: folding the journal
  always gives the same state.
- `deadline(state)` is when, in wall-clock milliseconds, `decide` wants to be asked with `TimeUp`; None for never.
- `view(state)` is what players may see of the state, as JSON-ready data. It may hold parts of the state: it is copied.
- `result(state)` is None while the battle goes on, and says who won once it is over; after `Stopped` at the latest.

States, commands and events hold no floats and no sets. A command class has a `player_id`, filled in from the
proven identity of the sender; an event class has an `at`, the time of the decision. A field made with `private()`
stays out of what players get to see.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, TypeVar

from attrs import field, fields, frozen, has

from gameserver.errors import ConfigError, Refused

__all__ = [
    "Begun",
    "Dice",
    "Joined",
    "Refused",
    "Result",
    "Rules",
    "Side",
    "Stopped",
    "TimeUp",
    "other_side",
    "private",
]

Side = Literal["attacker", "defender"]
Item = TypeVar("Item")


def other_side(side: Side) -> Side:
    return "defender" if side == "attacker" else "attacker"


@frozen
class Joined:
    """A player took a seat; before or after the battle began."""

    player_id: str
    side: Side
    role: Literal["initiator", "participant"]
    at: int


@frozen
class Begun:
    """The battle is running from now on; everybody who joined so far has a seat."""

    player_id: str
    at: int


@frozen
class Stopped:
    """The battle ends here: by hand (`called`), or because the mode says so (`time` is up, ...)."""

    reason: str
    at: int
    player_id: str | None = None
    late_ms: int = 0
    """How long after the deadline a durable timer fired; more than 0 when no node was there in time."""


@frozen
class TimeUp:
    """The command that a mode is asked with when its own deadline has come."""


@frozen
class Result:
    """Who won, and what each player achieved (in the unit of the mode's choice, for the players' totals)."""

    winner: Side
    score: int
    players: Mapping[str, int]
    reason: str


def private(**options: Any) -> Any:
    """An event field that is journalled but never sent to players."""
    return field(metadata={"private": True}, **options)


class Dice:
    """Reproducible randomness: the same seed and position always roll the same.

    Source: BLAKE2b in counter mode, 64 bits a roll; the bias of the modulo is below 2^-32 for spans below 2^32.
    """

    __slots__ = ("_position", "_rolls", "_seed")

    def __init__(self, seed: str, position: int) -> None:
        self._seed = blake2b(f"{seed}:".encode(), digest_size=8)
        self._position, self._rolls = position, 0

    def moved_to(self, position: int) -> "Dice":
        """The same dice, as if new: an actor needs one pair, for all of its commands."""
        self._position, self._rolls = position, 0
        return self

    def roll(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        self._rolls += 1
        rolled = self._seed.copy()
        rolled.update(b"%d:%d" % (self._position, self._rolls))
        return low + int.from_bytes(rolled.digest(), "big") % (high - low + 1)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.roll(0, len(items) - 1)]


@frozen
class Rules:
    """One mode at one version. Raise the version whenever old events would fold to another state."""

    mode: str
    version: int
    state: type
    commands: Mapping[str, type]
    events: Mapping[str, type]
    decide: Callable[[Any, Any, int, Dice], Sequence[Any]]
    apply: Callable[[Any, Any], None]
    deadline: Callable[[Any], int | None]
    view: Callable[[Any], Mapping[str, Any]]
    result: Callable[[Any], Result | None]
    new: Callable[[], Any] | None = None
    """Makes the state of a fresh battle; without it, the state class is called without arguments."""

    def __attrs_post_init__(self) -> None:
        for name, kind in [*self.commands.items(), *self.events.items()]:
            needed = "player_id" if name in self.commands and kind is self.commands[name] else "at"
            if not has(kind) or needed not in {field.name for field in fields(kind)}:
                raise ConfigError(f"mode {self.mode}: {kind.__name__} ({name}) must be an attrs class with `{needed}`")
            if not name.startswith("battle:"):
                raise ConfigError(f"mode {self.mode}: {name!r} must begin with 'battle:'")
        if not has(self.state):
            raise ConfigError(f"mode {self.mode}: the state must be an attrs class")

    def fresh(self) -> Any:
        return self.new() if self.new else self.state()
