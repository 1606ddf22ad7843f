"""What battles and groups have in common: machines that decide commands into events and fold events into state."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from attrs import frozen

from gameserver.game.rules import Dice


@frozen
class Intention:
    """What one actor must cause in another: kept in its state until the other has answered.

    `id` names it among the intentions of its actor; the command is such that repeating it changes nothing.
    """

    id: str
    target: str
    kind: str
    command: object
    mode: str = ""


@frozen
class IntentionSettled:
    """Command of an actor to itself: the other one has carried the intention out, or refused it for good."""

    intention_id: str
    refusal: str | None = None


class Machine(Protocol):
    """A state machine without I/O, clock or randomness of its own.

    `decide` raises Refused or returns the events that a command causes, and changes nothing. `apply` changes the
    state and cannot fail. `follow_up` gives the events that the last ones entail (a battle that is over finishes).
    An empty list from `decide` means that the command has been carried out before: it is acknowledged again.
    """

    kind: ClassVar[str]

    @property
    def born(self) -> bool:
        """Whether any event has been applied; an actor whose creation was cut short is not."""
        ...

    def decide(self, command: Any, now: int, dice: Dice) -> Sequence[Any]: ...

    def apply(self, event: Any) -> None: ...

    def follow_up(self, now: int) -> Sequence[Any]: ...

    def deadline(self) -> int | None:
        """Wall-clock milliseconds at which `decide` wants `TimeUp`."""
        ...

    def intentions(self) -> Iterable[Intention]:
        """What has not been acknowledged yet, oldest first."""
        ...

    def view(self) -> Mapping[str, Any]:
        """What players may see, JSON-ready, in the names of the wire."""
        ...

    def state(self) -> Any:
        """The attrs object that a snapshot holds; see `restore`."""
        ...

    def restore(self, state: Any) -> None: ...
