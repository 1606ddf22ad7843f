"""Modes for tests: classic with other numbers. Nodes that are processes get this very file by `--rules`."""

from typing import Any

from attrs import evolve, frozen

from gameserver.game.classic import Numbers, rules_with

ENDLESS = {"attacker_health": 10**9, "defender_health": 10**9, "duration_ms": 10**8}

TIRELESS = rules_with("tireless", 1, Numbers(attack_cost=0, **ENDLESS))
"""Anybody may attack at any time, and nothing ends it."""

TIRING = rules_with("tiring", 1, Numbers(energy_start=2, attack_cost=2, energy_interval_ms=10**9, **ENDLESS))
"""Energy for one attack, and no more of it."""

BRIEF = rules_with("brief", 1, Numbers(attack_cost=0, duration_ms=1_500))
"""Over in a moment, by its timer."""


@frozen
class Shout:
    player_id: str
    text: str


@frozen
class Shouted:
    player_id: str
    text: str
    at: int


def _decide(state: Any, command: Any, now: int, dice: Any) -> Any:
    if isinstance(command, Shout):
        return (Shouted(command.player_id, command.text, now),)
    return TIRELESS.decide(state, command, now, dice)


LOUD = evolve(
    TIRELESS,
    mode="loud",
    decide=_decide,
    commands={**TIRELESS.commands, "battle:shout": Shout},
    events={**TIRELESS.events, "battle:shout": Shouted},
)
"""Events may be as large as messages."""
