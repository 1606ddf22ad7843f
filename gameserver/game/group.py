"""A group: its members and owner, its cooldown, and the battles that it has open.

An attack begins here: `IntendBattle` commits the intention, with the battle's ID; the battle is created from it,
however often that takes. A battle that cannot be created is taken back, together with the cooldown that it caused.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from attrs import define, field, frozen

from gameserver.errors import Refused
from gameserver.game.commands import (
    CloseBattle,
    CreateBattle,
    CreateGroup,
    IntendBattle,
    JoinGroup,
    LeaveGroup,
    OpenBattle,
)
from gameserver.game.guards import Guards
from gameserver.game.machine import Intention, IntentionSettled
from gameserver.game.rules import Dice, Side

GroupRole = Literal["owner", "member"]


@frozen
class GroupCreated:
    group_id: str
    name: str
    owner_id: str
    at: int


@frozen
class MemberJoined:
    player_id: str
    at: int


@frozen
class MemberLeft:
    """`new_owner_id` is set when the owner left; the longest-standing member follows."""

    player_id: str
    new_owner_id: str | None
    at: int


@frozen
class GroupClosed:
    at: int


@frozen
class BattleIntended:
    """The group attacks: from now on the battle will be created, and the group cools down."""

    battle_id: str
    defender: str
    mode: str
    player_id: str
    player_side: Side
    cooldown_until: int
    at: int


@frozen
class BattleConfirmed:
    battle_id: str
    at: int


@frozen
class BattleWithdrawn:
    """The battle could not be created, for the reason that `refusal` names; the cooldown is taken back."""

    battle_id: str
    refusal: str
    at: int


@frozen
class BattleOpened:
    battle_id: str
    at: int


@frozen
class BattleClosed:
    battle_id: str
    at: int


EVENTS: Mapping[str, type] = {
    "group:created": GroupCreated,
    "group:join": MemberJoined,
    "group:leave": MemberLeft,
    "group:closed": GroupClosed,
    "group:battle-intended": BattleIntended,
    "group:battle-confirmed": BattleConfirmed,
    "group:battle-withdrawn": BattleWithdrawn,
    "group:battle-opened": BattleOpened,
    "group:battle-closed": BattleClosed,
}


@define
class Member:
    role: GroupRole
    joined_at: int


@define
class GroupState:
    group_id: str = ""
    name: str = ""
    owner_id: str = ""
    created_at: int = 0
    closed: bool = False
    cooldown_until: int = 0
    members: dict[str, Member] = field(factory=dict)
    """In the order of joining: the first after the owner has stood longest."""
    open_battles: list[str] = field(factory=list)
    intended: dict[str, BattleIntended] = field(factory=dict)


class Group:
    kind: ClassVar[str] = "group"

    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._state = GroupState()

    @property
    def born(self) -> bool:
        return bool(self._state.group_id)

    # -- decide ---------------------------------------------------------------------------------------------------

    def decide(self, command: Any, now: int, dice: Dice) -> Sequence[Any]:
        decide = _DECIDE.get(type(command))
        if decide is None:
            raise Refused("unknown_event")
        if not self.born and not isinstance(command, CreateGroup):
            raise Refused("group_not_found")
        return decide(self, command, now)

    def _create(self, command: CreateGroup, now: int) -> Sequence[Any]:
        if self.born:
            return ()
        return (GroupCreated(command.group_id, command.name, command.player_id, now),)

    def _join(self, command: JoinGroup, now: int) -> Sequence[Any]:
        self._require_open()
        if command.player_id in self._state.members:
            raise Refused("already_in_group")
        if len(self._state.members) >= self._guards.group_members_limit:
            raise Refused("group_full")
        return (MemberJoined(command.player_id, now),)

    def _leave(self, command: LeaveGroup, now: int) -> Sequence[Any]:
        self._require_member(command.player_id)
        others = [player for player in self._state.members if player != command.player_id]
        if not others:
            if self._state.open_battles:
                raise Refused("group_has_open_battles")
            return MemberLeft(command.player_id, None, now), GroupClosed(now)
        new_owner = others[0] if command.player_id == self._state.owner_id else None
        return (MemberLeft(command.player_id, new_owner, now),)

    def _intend(self, command: IntendBattle, now: int) -> Sequence[Any]:
        if command.battle_id in self._state.open_battles:
            return ()
        self._require_open()
        if command.defender == self._state.group_id:
            raise Refused("same_group")
        in_attacker = command.player_id in self._state.members
        if in_attacker == command.player_in_defender:
            raise Refused("not_in_exactly_one_group")
        if not command.defender_open:
            raise Refused("group_closed")
        if now < self._state.cooldown_until:
            raise Refused("group_cooling_down", retry_after_ms=self._state.cooldown_until - now)
        intended = BattleIntended(
            battle_id=command.battle_id,
            defender=command.defender,
            mode=command.mode,
            player_id=command.player_id,
            player_side="attacker" if in_attacker else "defender",
            cooldown_until=now + self._guards.attack_cooldown_ms,
            at=now,
        )
        return (intended,)

    def _settle(self, command: IntentionSettled, now: int) -> Sequence[Any]:
        if command.intention_id not in self._state.intended:
            return ()
        if command.refusal is not None:
            return (BattleWithdrawn(command.intention_id, command.refusal, now),)
        return (BattleConfirmed(command.intention_id, now),)

    def _open_battle(self, command: OpenBattle, now: int) -> Sequence[Any]:
        if command.battle_id in self._state.open_battles:
            return ()
        self._require_open()
        return (BattleOpened(command.battle_id, now),)

    def _close_battle(self, command: CloseBattle, now: int) -> Sequence[Any]:
        if command.battle_id not in self._state.open_battles:
            return ()
        return (BattleClosed(command.battle_id, now),)

    def _require_open(self) -> None:
        if self._state.closed:
            raise Refused("group_closed")

    def _require_member(self, player_id: str) -> None:
        if player_id not in self._state.members:
            raise Refused("not_in_group")

    # -- apply ----------------------------------------------------------------------------------------------------

    def apply(self, event: Any) -> None:
        state = self._state
        match event:
            case GroupCreated():
                state.group_id, state.name, state.owner_id = event.group_id, event.name, event.owner_id
                state.created_at = event.at
                state.members[event.owner_id] = Member("owner", event.at)
            case MemberJoined():
                state.members[event.player_id] = Member("member", event.at)
            case MemberLeft():
                del state.members[event.player_id]
                if event.new_owner_id is not None:
                    state.owner_id = event.new_owner_id
                    state.members[event.new_owner_id].role = "owner"
            case GroupClosed():
                state.closed = True
            case BattleIntended():
                state.intended[event.battle_id] = event
                state.open_battles.append(event.battle_id)
                state.cooldown_until = event.cooldown_until
            case BattleConfirmed():
                del state.intended[event.battle_id]
            case BattleWithdrawn():
                self._withdraw(event)
            case BattleOpened():
                state.open_battles.append(event.battle_id)
            case BattleClosed():
                state.open_battles.remove(event.battle_id)

    def _withdraw(self, event: BattleWithdrawn) -> None:
        """Takes back what the intention left behind; another attack's cooldown stands."""
        state = self._state
        intended = state.intended.pop(event.battle_id)
        if event.battle_id in state.open_battles:
            state.open_battles.remove(event.battle_id)
        if intended.cooldown_until == state.cooldown_until:
            state.cooldown_until = event.at

    def follow_up(self, now: int) -> Sequence[Any]:
        return ()

    # -- read -----------------------------------------------------------------------------------------------------

    def deadline(self) -> int | None:
        return None

    def intentions(self) -> Iterable[Intention]:
        for event in self._state.intended.values():
            create = CreateBattle(
                battle_id=event.battle_id,
                attacker=self._state.group_id,
                defender=event.defender,
                mode=event.mode,
                initiator=event.player_id,
                initiator_side=event.player_side,
            )
            yield Intention(event.battle_id, event.battle_id, "battle", create, event.mode)

    def view(self) -> Mapping[str, Any]:
        state = self._state
        return {
            "groupId": state.group_id,
            "name": state.name,
            "ownerId": state.owner_id,
            "createdAt": state.created_at,
            "closed": state.closed,
            "cooldownUntil": state.cooldown_until,
            "members": {player: {"role": m.role, "joinedAt": m.joined_at} for player, m in state.members.items()},
            "openBattles": state.open_battles,
        }

    def state(self) -> GroupState:
        return self._state

    def restore(self, state: GroupState) -> None:
        self._state = state


_DECIDE: Mapping[type, Callable[[Any, Any, int], Sequence[Any]]] = {
    CreateGroup: Group._create,
    JoinGroup: Group._join,
    LeaveGroup: Group._leave,
    IntendBattle: Group._intend,
    IntentionSettled: Group._settle,
    OpenBattle: Group._open_battle,
    CloseBattle: Group._close_battle,
}
