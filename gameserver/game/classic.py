"""The bundled mode `classic`: two sides with health, players with energy, and three things to do with it.

Energy grows by whole points: a player holds `energy` as of `energy_at`, and that time moves on by whole intervals only,
so that neither rounding nor the number of commands changes how much anybody gets. Cheering costs what it gives (unless
numbers say otherwise), so that two players cannot make energy out of each other.

The damage that an attack deals is what the other side loses: after its guard, and never more than the health that is
left. So a side's health is always its health at the start less what the other side's players have dealt.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define, field, frozen
from attrs.validators import ge

from gameserver.errors import Refused
from gameserver.game.rules import Begun, Dice, Joined, Result, Rules, Side, Stopped, TimeUp, other_side


@frozen
class Numbers:
    """All numbers of the mode. They are part of a battle's state; whoever changes them raises the rules' version."""

    attacker_health: int = 1_000
    defender_health: int = 1_000
    energy_start: int = 5
    energy_max: int = 10
    energy_interval_ms: int = field(default=2_000, validator=ge(1))
    """One point of energy per interval."""
    attack_cost: int = 2
    damage_least: int = 8
    damage_most: int = 16
    guard_cost: int = 3
    guard_ms: int = 5_000
    guard_percent: int = 50
    """The share of each attack's damage that a guard takes off."""
    cheer_cost: int = 2
    cheer_energy: int = 2
    duration_ms: int = 180_000


@define
class Team:
    """One side: `guarded_until` is wall-clock milliseconds, `dealt` the damage that its players have dealt together."""

    health: int
    guarded_until: int = 0
    dealt: int = 0


@define
class Player:
    """One player: `energy` as it was at `energy_at` (wall-clock milliseconds); `_energy` says what it has grown to."""

    side: Side
    energy: int
    energy_at: int
    dealt: int = 0


@define
class State:
    numbers: Numbers
    teams: dict[Side, Team]
    players: dict[str, Player] = field(factory=dict)
    ends_at: int | None = None
    stopped: str | None = None
    """Why the battle was stopped before a side had lost all its health."""


# -- what players ask, and what then has happened ----------------------------------------------------------------------


@frozen
class Attack:
    player_id: str


@frozen
class Guard:
    player_id: str


@frozen
class Cheer:
    player_id: str
    target_id: str


@frozen
class Attacked:
    """`side` was hit and has `health` left; the player has `energy` left."""

    player_id: str
    side: Side
    damage: int
    health: int
    energy: int
    at: int


@frozen
class Guarded:
    """`side` is shielded until the wall-clock millisecond `until`; a further guard prolongs that and adds no more."""

    player_id: str
    side: Side
    until: int
    energy: int
    at: int


@frozen
class Cheered:
    """The target got `gained` points (none beyond the maximum) and has `target_energy` now."""

    player_id: str
    target_id: str
    gained: int
    target_energy: int
    energy: int
    at: int


# -- decide ------------------------------------------------------------------------------------------------------------


def decide(state: State, command: Any, now: int, dice: Dice) -> Sequence[Any]:
    if isinstance(command, TimeUp):
        return _time_up(state, now)
    action = _ACTIONS.get(type(command))
    if action is None:
        raise Refused("unknown_event")
    if state.ends_at is None or now >= state.ends_at:
        # The timer may be late, the battle's time is not: nobody gets to act in between.
        raise Refused("battle_not_running")
    return action(state, command, now, dice)


def _attack(state: State, command: Attack, now: int, dice: Dice) -> Sequence[Any]:
    numbers, player = state.numbers, state.players[command.player_id]
    energy = _pay(numbers, player, numbers.attack_cost, now)
    side = other_side(player.side)
    target = state.teams[side]
    damage = dice.roll(numbers.damage_least, numbers.damage_most)
    if now < target.guarded_until:
        damage -= damage * numbers.guard_percent // 100
    damage = min(damage, target.health)
    return (Attacked(command.player_id, side, damage, target.health - damage, energy, now),)


def _guard(state: State, command: Guard, now: int, _dice: Dice) -> Sequence[Any]:
    numbers, player = state.numbers, state.players[command.player_id]
    energy = _pay(numbers, player, numbers.guard_cost, now)
    return (Guarded(command.player_id, player.side, now + numbers.guard_ms, energy, now),)


def _cheer(state: State, command: Cheer, now: int, _dice: Dice) -> Sequence[Any]:
    numbers, player, target = state.numbers, state.players[command.player_id], state.players.get(command.target_id)
    if target is None or target is player or target.side != player.side:
        raise Refused("not_team_mate")
    energy = _pay(numbers, player, numbers.cheer_cost, now)
    before = _energy(numbers, target, now)
    after = min(numbers.energy_max, before + numbers.cheer_energy)
    return (Cheered(command.player_id, command.target_id, after - before, after, energy, now),)


def _time_up(state: State, now: int) -> Sequence[Any]:
    if state.ends_at is None or now < state.ends_at:
        return ()
    return (Stopped("time", now, late_ms=now - state.ends_at),)


_ACTIONS: Mapping[type, Callable[[State, Any, int, Dice], Sequence[Any]]] = {
    Attack: _attack,
    Guard: _guard,
    Cheer: _cheer,
}


def _energy(numbers: Numbers, player: Player, now: int) -> int:
    return min(numbers.energy_max, player.energy + (now - player.energy_at) // numbers.energy_interval_ms)


def _pay(numbers: Numbers, player: Player, cost: int, now: int) -> int:
    """The energy left after paying; refuses, saying when it would be enough, if it is not."""
    left = _energy(numbers, player, now) - cost
    if left < 0:
        enough_at = player.energy_at + (cost - player.energy) * numbers.energy_interval_ms
        raise Refused("no_energy", retry_after_ms=enough_at - now)
    return left


# -- apply -------------------------------------------------------------------------------------------------------------


def apply(state: State, event: Any) -> None:
    match event:
        case Attacked():
            player = state.players[event.player_id]
            _set_energy(state.numbers, player, event.energy, event.at)
            player.dealt += event.damage
            state.teams[player.side].dealt += event.damage
            state.teams[event.side].health = event.health
        case Guarded():
            _set_energy(state.numbers, state.players[event.player_id], event.energy, event.at)
            state.teams[event.side].guarded_until = event.until
        case Cheered():
            _set_energy(state.numbers, state.players[event.player_id], event.energy, event.at)
            _set_energy(state.numbers, state.players[event.target_id], event.target_energy, event.at)
        case Joined():
            state.players[event.player_id] = Player(event.side, state.numbers.energy_start, event.at)
        case Begun():
            state.ends_at = event.at + state.numbers.duration_ms
            for player in state.players.values():
                player.energy_at = event.at
        case Stopped():
            state.stopped = event.reason


def _set_energy(numbers: Numbers, player: Player, energy: int, at: int) -> None:
    """What is left of the running interval goes on counting, except for a full player: there nothing was growing."""
    full = _energy(numbers, player, at) == numbers.energy_max
    running_ms = 0 if full else (at - player.energy_at) % numbers.energy_interval_ms
    player.energy, player.energy_at = energy, at - running_ms


# -- read --------------------------------------------------------------------------------------------------------------


def deadline(state: State) -> int | None:
    return state.ends_at


def result(state: State) -> Result | None:
    """More health wins, then more damage dealt, then the defender; the score is the damage that the winners dealt."""
    attacker, defender = state.teams["attacker"], state.teams["defender"]
    if attacker.health > 0 and defender.health > 0 and state.stopped is None:
        return None
    attacker_ahead = (attacker.health, attacker.dealt) > (defender.health, defender.dealt)
    winner: Side = "attacker" if attacker_ahead else "defender"
    dealt = {player_id: player.dealt for player_id, player in state.players.items()}
    return Result(winner, state.teams[winner].dealt, dealt, state.stopped or "health")


def view(state: State) -> Mapping[str, Any]:
    numbers = state.numbers
    return {
        "endsAt": state.ends_at,
        "sides": {
            side: {"health": team.health, "guardedUntil": team.guarded_until, "dealt": team.dealt}
            for side, team in state.teams.items()
        },
        "players": {
            player_id: {"energy": player.energy, "energyAt": player.energy_at, "dealt": player.dealt}
            for player_id, player in state.players.items()
        },
        "energyMax": numbers.energy_max,
        "energyIntervalMs": numbers.energy_interval_ms,
        "costs": {"attack": numbers.attack_cost, "guard": numbers.guard_cost, "cheer": numbers.cheer_cost},
    }


# -- the mode ----------------------------------------------------------------------------------------------------------


def new(numbers: Numbers) -> State:
    return State(numbers, {"attacker": Team(numbers.attacker_health), "defender": Team(numbers.defender_health)})


def rules_with(mode: str, version: int, numbers: Numbers) -> Rules:
    """The rules of classic under another name and with other numbers."""
    return Rules(
        mode=mode,
        version=version,
        state=State,
        commands={"battle:attack": Attack, "battle:guard": Guard, "battle:cheer": Cheer},
        events={"battle:attack": Attacked, "battle:guard": Guarded, "battle:cheer": Cheered},
        decide=decide,
        apply=apply,
        deadline=deadline,
        view=view,
        result=result,
        new=partial(new, numbers),
    )


rules = rules_with("classic", 1, Numbers())
