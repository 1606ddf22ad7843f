"""Rules that hang on demand: `tireless`, with one more command. Nodes get this very file by `--rules`."""

from typing import Any

from attrs import evolve, frozen

from tests.node import modes


@frozen
class Hang:
    player_id: str
    where: str


@frozen
class Hung:
    player_id: str
    where: str
    at: int


def decide(state: Any, command: Any, now: int, dice: Any) -> Any:
    if not isinstance(command, Hang):
        return modes.TIRELESS.decide(state, command, now, dice)
    hang(command.where, "decide")
    return (Hung(command.player_id, command.where, now),)


def apply(state: Any, event: Any) -> None:
    if isinstance(event, Hung):
        hang(event.where, "apply")
    else:
        modes.TIRELESS.apply(state, event)


def hang(where: str, here: str) -> None:
    while where == here:
        pass
    if where == f"{here}, in C":  # which nothing interrupts
        sum(range(10**12))


rules = evolve(
    modes.TIRELESS,
    mode="hanging",
    decide=decide,
    apply=apply,
    commands={**modes.TIRELESS.commands, "battle:hang": Hang},
    events={**modes.TIRELESS.events, "battle:hang": Hung},
)
