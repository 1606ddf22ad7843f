"""Modes for the benchmark, for `--rules`: what is measured is the server and not a game.

`bench` does with a command what the Node.js peer does (`attack` in peer/server.mjs): damage by the number of attacks so
far, added to the player's score. Beside it the same with a state that is laden with things, and, as a game with rules
to think about, classic in which nothing runs out: neither energy nor health nor time.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import define, field, frozen

from gameserver.errors import Refused
from gameserver.game.classic import Numbers, rules_with
from gameserver.game.rules import Dice, Result, Rules, Stopped

CLASSIC: Final = "bench-classic"
VAST: Final = 10**12
THINGS_PER_KB: Final = 21


@frozen
class Thing:
    """Some 48 bytes of a snapshot: small parts, as states are made of, and not one long text."""

    owner: str
    kind: str
    charges: int


@define
class State:
    attacks: int = 0
    scores: dict[str, int] = field(factory=dict)
    stopped: str | None = None
    things: list[Thing] = field(factory=list)


@define
class Attack:
    player_id: str


@define
class Attacked:
    player_id: str
    damage: int
    at: int


def decide(state: State, command: Any, now: int, _dice: Dice) -> Sequence[Any]:
    if type(command) is not Attack:
        raise Refused("unknown_event")
    return (Attacked(command.player_id, 1 + state.attacks % 10, now),)


def apply(state: State, event: Any) -> None:
    if type(event) is Attacked:
        state.scores[event.player_id] = state.scores.get(event.player_id, 0) + event.damage
        state.attacks += 1
    elif type(event) is Stopped:
        state.stopped = event.reason


def result(state: State) -> Result | None:
    return None if state.stopped is None else Result("attacker", state.attacks, state.scores, state.stopped)


def view(state: State) -> Mapping[str, Any]:
    return {"scores": state.scores}


def new(kb: int) -> State:
    return State(things=[Thing(f"{number:08}", "shield", 3) for number in range(kb * THINGS_PER_KB)])


def rules_of(mode: str, kb: int) -> Rules:
    """Its state holds so many KB of things, and what the game itself makes of it: less than one."""
    return Rules(
        mode=mode,
        version=1,
        state=State,
        commands={"battle:attack": Attack},
        events={"battle:attack": Attacked},
        decide=decide,
        apply=apply,
        deadline=lambda _state: None,
        view=view,
        result=result,
        new=partial(new, kb),
    )


rules = rules_of("bench", 0)
with_10_kb = rules_of("bench-10kb", 10)
with_100_kb = rules_of("bench-100kb", 100)
endless_classic = rules_with(
    CLASSIC,
    1,
    Numbers(attacker_health=VAST, defender_health=VAST, attack_cost=0, guard_cost=0, cheer_cost=0, duration_ms=VAST),
)
