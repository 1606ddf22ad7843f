"""A battle: who takes part, when it runs and how it ends. What happens in between is the business of its mode.

pending ──begin──► running ──stop, or the mode has a result──► finished
   └──nobody begins in time──────────────────────────────────────▲

The attacking group intends a battle; `CreateBattle` makes it, with the initiator seated. The defending group learns of
it, and both learn of its end, by intentions that stay in the state until the group has answered.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, cast

from attrs import define, field, frozen

from gameserver.errors import Refused
from gameserver.game.commands import Begin, CloseBattle, CreateBattle, Finish, Join, OpenBattle
from gameserver.game.guards import Guards
from gameserver.game.machine import Intention, IntentionSettled
from gameserver.game.rules import Begun, Dice, Joined, Result, Rules, Side, Stopped, TimeUp

Phase = Literal["pending", "running", "finished"]
Role = Literal["initiator", "participant"]


@frozen
class Created:
    battle_id: str
    attacker: str
    defender: str
    mode: str
    initiator: str
    expires_at: int
    at: int


@frozen
class Finished:
    """`score` is what the winning group earned; `players` what each player achieved. No winner: it expired."""

    winner: Side | None
    winner_group_id: str | None
    score: int
    players: dict[str, int]
    reason: str
    started_at: int | None
    at: int
    late_ms: int = 0


@frozen
class Settled:
    """A group has answered the battle's intention; `refusal` is the code if it would not."""

    intention_id: str
    refusal: str | None
    at: int


EVENTS: Mapping[str, type] = {
    "battle:created": Created,
    "battle:join": Joined,
    "battle:begin": Begun,
    "battle:stop": Stopped,
    "battle:finished": Finished,
    "battle:settled": Settled,
}
_OWN_EVENTS: Final = frozenset(EVENTS.values())

MILESTONES: Final = frozenset({Joined, Begun, Finished})
"""What others want to know of a battle who do not watch it."""


@define
class Seat:
    side: Side
    role: Role
    joined_at: int


@define
class BattleState:
    """Everything about a battle that is not the mode's: kept in snapshots together with the mode's own state."""

    battle_id: str = ""
    attacker: str = ""
    defender: str = ""
    mode: str = ""
    initiator: str = ""
    phase: Phase = "pending"
    created_at: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int = 0
    winner: Side | None = None
    score: int = 0
    reason: str | None = None
    seats: dict[str, Seat] = field(factory=dict)
    unsettled: list[str] = field(factory=list)
    play: Any = None


class Battle:
    kind: ClassVar[str] = "battle"

    def __init__(self, rules: Rules, guards: Guards) -> None:
        self._rules, self._guards = rules, guards
        self._mode_commands = frozenset(rules.commands.values())
        self._state = BattleState(play=rules.fresh())

    @property
    def born(self) -> bool:
        return bool(self._state.battle_id)

    # -- decide ---------------------------------------------------------------------------------------------------

    def decide(self, command: Any, now: int, dice: Dice) -> Sequence[Any]:
        if type(command) in self._mode_commands:  # by far the most of them
            state = self._state
            if state.phase != "running":
                self._require_running()
            if command.player_id not in state.seats:
                raise Refused("not_joined")
            return self._rules.decide(state.play, command, now, dice)
        if isinstance(command, TimeUp):
            return self._time_up(command, now, dice)
        decide = _DECIDE.get(type(command))
        if decide is None:
            raise Refused("unknown_event")
        return decide(self, command, now)

    def _create(self, command: CreateBattle, now: int) -> Sequence[Any]:
        if self.born:
            return ()
        created = Created(
            battle_id=command.battle_id,
            attacker=command.attacker,
            defender=command.defender,
            mode=command.mode,
            initiator=command.initiator,
            expires_at=now + self._guards.pending_expires_ms,
            at=now,
        )
        return created, Joined(command.initiator, command.initiator_side, "initiator", now)

    def _join(self, command: Join, now: int) -> Sequence[Any]:
        self._require_not_finished()
        if command.player_id in self._state.seats:
            raise Refused("already_joined")
        if len(command.sides) != 1:
            raise Refused("not_in_exactly_one_group")
        if len(self._state.seats) >= self._guards.battle_players_limit:
            raise Refused("battle_full")
        return (Joined(command.player_id, command.sides[0], "participant", now),)

    def _begin(self, command: Begin, now: int) -> Sequence[Any]:
        self._require_not_finished()
        if self._state.phase == "running":
            raise Refused("battle_already_begun")
        if not (command.owner or command.player_id == self._state.initiator):
            raise Refused("not_allowed_to_begin")
        if {seat.side for seat in self._state.seats.values()} != {"attacker", "defender"}:
            raise Refused("side_missing")
        return (Begun(command.player_id, now),)

    def _finish(self, command: Finish, now: int) -> Sequence[Any]:
        self._require_not_finished()
        if command.operator and self._state.phase == "pending":
            return (self._expired(now, "operator"),)
        self._require_running()
        if not (command.operator or command.owner or command.player_id == self._state.initiator):
            raise Refused("not_allowed_to_finish")
        left = cast(int, self._state.started_at) + self._guards.minimum_duration_ms - now
        if left > 0 and not command.operator:
            raise Refused("finish_too_early", retry_after_ms=left)
        return (Stopped("operator" if command.operator else "called", now, command.player_id),)

    def _time_up(self, command: TimeUp, now: int, dice: Dice) -> Sequence[Any]:
        deadline = self.deadline()
        if deadline is None or deadline > now:
            return ()
        if self._state.phase == "pending":
            return (self._expired(now, "expired", late_ms=now - deadline),)
        return self._rules.decide(self._state.play, command, now, dice)

    def _settle(self, command: IntentionSettled, now: int) -> Sequence[Any]:
        if command.intention_id not in self._state.unsettled:
            return ()
        settled = Settled(command.intention_id, command.refusal, now)
        if command.refusal and command.intention_id.startswith("open:") and self._state.phase == "pending":
            return settled, self._expired(now, command.refusal)
        return (settled,)

    def follow_up(self, now: int) -> Sequence[Any]:
        if self._state.phase != "running":
            return ()
        result = self._rules.result(self._state.play)
        return () if result is None else (self._finished(result, now),)

    def _finished(self, result: Result, now: int) -> Finished:
        group = self._state.attacker if result.winner == "attacker" else self._state.defender
        return Finished(
            winner=result.winner,
            winner_group_id=group,
            score=result.score,
            players=dict(result.players),
            reason=result.reason,
            started_at=self._state.started_at,
            at=now,
        )

    def _expired(self, now: int, reason: str, late_ms: int = 0) -> Finished:
        return Finished(None, None, 0, {}, reason, None, now, late_ms)

    def _require_not_finished(self) -> None:
        if not self.born:
            raise Refused("battle_not_found")
        if self._state.phase == "finished":
            raise Refused("battle_finished")

    def _require_running(self) -> None:
        if self._state.phase != "running":
            self._require_not_finished()
            raise Refused("battle_not_running")

    # -- apply ----------------------------------------------------------------------------------------------------

    def apply(self, event: Any) -> None:
        if type(event) in _OWN_EVENTS:
            self._apply(event)
        self._rules.apply(self._state.play, event)

    def _apply(self, event: Any) -> None:
        state = self._state
        match event:
            case Created():
                state.battle_id, state.mode, state.initiator = event.battle_id, event.mode, event.initiator
                state.attacker, state.defender = event.attacker, event.defender
                state.created_at, state.expires_at = event.at, event.expires_at
                state.unsettled = [f"open:{event.defender}"]
            case Joined():
                state.seats[event.player_id] = Seat(event.side, event.role, event.at)
            case Begun():
                state.phase, state.started_at = "running", event.at
            case Finished():
                state.phase, state.finished_at = "finished", event.at
                state.winner, state.score, state.reason = event.winner, event.score, event.reason
                state.unsettled += [f"close:{state.attacker}", f"close:{state.defender}"]
            case Settled():
                state.unsettled.remove(event.intention_id)

    # -- read -----------------------------------------------------------------------------------------------------

    def deadline(self) -> int | None:
        if self._state.phase == "pending":
            return self._state.expires_at or None
        return self._rules.deadline(self._state.play) if self._state.phase == "running" else None

    def intentions(self) -> Iterable[Intention]:
        return self._intentions() if self._state.unsettled else ()

    def _intentions(self) -> Iterator[Intention]:
        for intention_id in self._state.unsettled:
            what, group = intention_id.split(":")
            if what == "close" and f"open:{group}" in self._state.unsettled:
                continue  # a group that heard of the end before the beginning would keep the battle open for ever
            command = OpenBattle if what == "open" else CloseBattle
            yield Intention(intention_id, group, "group", command(self._state.battle_id))

    def view(self) -> Mapping[str, Any]:
        state = self._state
        return {
            "battleId": state.battle_id,
            "mode": state.mode,
            "state": state.phase,
            "groupAttacker": state.attacker,
            "groupDefender": state.defender,
            "createdAt": state.created_at,
            "startedAt": state.started_at,
            "finishedAt": state.finished_at,
            "winner": state.winner,
            "score": state.score,
            "players": {player: {"side": seat.side, "role": seat.role} for player, seat in state.seats.items()},
            "play": self._rules.view(state.play),
        }

    def state(self) -> BattleState:
        return self._state

    def restore(self, state: BattleState) -> None:
        self._state = state


_DECIDE: Mapping[type, Callable[[Any, Any, int], Sequence[Any]]] = {
    CreateBattle: Battle._create,
    Join: Battle._join,
    Begin: Battle._begin,
    Finish: Battle._finish,
    IntentionSettled: Battle._settle,
}
