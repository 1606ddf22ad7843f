"""A mode that does what no mode should: whatever a command asks for goes wrong, in the place that it names."""

from typing import Any

from attrs import define, field, frozen

from gameserver.errors import Refused
from gameserver.game.rules import Begun, Dice, Joined, Result, Rules, Stopped, TimeUp, private


@define
class State:
    done: list[str] = field(factory=list)
    rolls: list[int] = field(factory=list)
    fires_at: int | None = None
    fired: list[int] = field(factory=list)
    """How late, in milliseconds, the timer fired each time."""
    broken_result: bool = False
    broken_view: bool = False
    over: bool = False


@frozen
class Do:
    player_id: str
    what: str = "hit"
    ms: int = 0


@frozen
class Done:
    player_id: str
    what: str
    ms: int
    roll: int
    at: int
    secret: Any = private(default=None)


@frozen
class Fired:
    late_ms: int
    at: int


@frozen
class Stranger:
    at: int


class Faults:
    """What goes wrong from outside, whatever the journal says."""

    folding = False


def decide(state: State, command: Any, now: int, dice: Dice) -> Any:
    if isinstance(command, TimeUp):
        return [Fired(now - (state.fires_at or 0), now)]
    match command.what:
        case "refuse":
            raise Refused("nasty_refusal")
        case "raise in decide":
            raise RuntimeError("decide")
        case "give nothing back":
            return None
        case "give an unknown event":
            return [Done(command.player_id, "hit", 0, 0, now), Stranger(now)]
        case "give no plain data":
            return [Done(command.player_id, "hit", 0, 0, now, secret=object())]
        case "twice":
            return [Done(command.player_id, "hit", 1, 0, now), Done(command.player_id, "raise in apply", 2, 0, now)]
        case "generate":
            return (Done(command.player_id, "hit", number, 0, now) for number in range(2))
    return [Done(command.player_id, command.what, command.ms, dice.roll(1, 1_000_000), now, dice.roll(1, 6))]


def apply(state: State, event: Any) -> None:
    if isinstance(event, Done):
        state.done.append(event.what)
        state.rolls.append(event.roll)
        _apply_done(state, event)
    elif isinstance(event, Fired):
        state.fires_at = None
        state.fired.append(event.late_ms)
    elif isinstance(event, Stopped):
        state.over = True
    else:
        assert isinstance(event, Joined | Begun) or type(event).__name__ in {"Created", "Settled", "Finished"}


def _apply_done(state: State, event: Done) -> None:
    match event.what:
        case "raise in apply":
            raise RuntimeError("apply")
        case "refuse in apply":
            raise Refused("too_late_for_that")
        case "fold badly" if Faults.folding:
            raise RuntimeError("fold")
        case "refuse to fold" if Faults.folding:
            raise Refused("never_mind")
        case "raise in result":
            state.broken_result = True
        case "raise in view":
            state.broken_view = True
        case "timer":
            state.fires_at = event.at + event.ms
        case "win":
            state.over = True


def result(state: State) -> Result | None:
    if state.broken_result:
        raise RuntimeError("result")
    return Result("attacker", len(state.done), {}, "won") if state.over else None


def view(state: State) -> Any:
    if state.broken_view:
        raise RuntimeError("view")
    return {"done": state.done, "rolls": state.rolls, "fired": state.fired}  # parts of the state, as they are


rules = Rules(
    mode="nasty",
    version=1,
    state=State,
    commands={"battle:do": Do},
    events={"battle:do": Done, "battle:fired": Fired},
    decide=decide,
    apply=apply,
    deadline=lambda state: state.fires_at,
    view=view,
    result=result,
)
