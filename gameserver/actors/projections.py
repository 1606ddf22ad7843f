"""Rows that follow from events, for lists and searches: written by the commit that writes the event.

Each row has one writing actor, and is always written whole; nothing is ever deleted, so replaying is harmless.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gameserver.actors.ports import OutboxRow, Projection
from gameserver.game.battle import BattleState, Created, Finished
from gameserver.game.group import (
    BattleIntended,
    BattleWithdrawn,
    GroupClosed,
    GroupCreated,
    GroupState,
    MemberJoined,
    MemberLeft,
)
from gameserver.game.rules import Begun, Joined

Row = Projection | OutboxRow


# -- battles --------------------------------------------------------------------------------------------------------


def _battle_row(state: BattleState, seq: int) -> Projection:
    winner = {"attacker": state.attacker, "defender": state.defender, None: None}[state.winner]
    row = {
        "id": state.battle_id,
        "group_attacker": state.attacker,
        "group_defender": state.defender,
        "mode": state.mode,
        "state": state.phase,
        "initiator_id": state.initiator,
        "winner_group_id": winner,
        "score": state.score,
        "reason": state.reason,
        "created_at_ms": state.created_at,
        "started_at_ms": state.started_at,
        "finished_at_ms": state.finished_at,
        "seq": seq,
    }
    return Projection("battles", (state.battle_id,), row)


def _seat_row(state: BattleState, player_id: str, achieved: int | None, seq: int) -> Projection:
    seat = state.seats[player_id]
    row = {
        "battle_id": state.battle_id,
        "player_id": player_id,
        "role": seat.role,
        "side": seat.side,
        "joined_at_ms": seat.joined_at,
        "achieved": achieved,
        "seq": seq,
    }
    return Projection("battle_members", (state.battle_id, player_id), row)


def _created(state: BattleState, event: Created, seq: int) -> Iterator[Row]:
    yield _battle_row(state, seq)
    created = {
        "battleId": state.battle_id,
        "attacker": event.attacker,
        "defender": event.defender,
        "mode": event.mode,
        "initiator": event.initiator,
    }
    yield OutboxRow("battle:created", seq, created)


def _joined(state: BattleState, event: Joined, seq: int) -> Iterator[Row]:
    yield _seat_row(state, event.player_id, None, seq)


def _begun(state: BattleState, _event: Begun, seq: int) -> Iterator[Row]:
    yield _battle_row(state, seq)


def _finished(state: BattleState, event: Finished, seq: int) -> Iterator[Row]:
    yield _battle_row(state, seq)
    for player_id in state.seats:
        yield _seat_row(state, player_id, event.players.get(player_id, 0), seq)
    if event.winner_group_id is None:
        return
    score = {
        "battle_id": state.battle_id,
        "group_id": event.winner_group_id,
        "score": event.score,
        "finished_at_ms": event.at,
    }
    yield Projection("battle_scores", (state.battle_id,), score)
    yield OutboxRow("battle:finished", seq, score)


# -- groups ---------------------------------------------------------------------------------------------------------


def _group_row(state: GroupState, seq: int) -> Projection:
    row = {
        "id": state.group_id,
        "name": state.name,
        "owner_id": state.owner_id,
        "meta": {},
        "members": len(state.members),
        "closed": state.closed,
        "cooldown_until_ms": state.cooldown_until,
        "created_at_ms": state.created_at,
        "seq": seq,
    }
    return Projection("groups", (state.group_id,), row)


def _member_row(state: GroupState, player_id: str, seq: int) -> Projection:
    member = state.members[player_id]
    row = {
        "group_id": state.group_id,
        "player_id": player_id,
        "role": member.role,
        "joined_at_ms": member.joined_at,
        "left_at_ms": None,
        "seq": seq,
    }
    return Projection("group_members", (state.group_id, player_id), row)


def _group_created(state: GroupState, event: GroupCreated, seq: int) -> Iterator[Row]:
    yield _group_row(state, seq)
    yield _member_row(state, event.owner_id, seq)


def _member_joined(state: GroupState, event: MemberJoined, seq: int) -> Iterator[Row]:
    yield _group_row(state, seq)
    yield _member_row(state, event.player_id, seq)


def _member_left(state: GroupState, event: MemberLeft, seq: int) -> Iterator[Row]:
    yield _group_row(state, seq)
    gone = {
        "group_id": state.group_id,
        "player_id": event.player_id,
        "role": "member",
        "joined_at_ms": event.at,
        "left_at_ms": event.at,
        "seq": seq,
    }
    yield Projection("group_members", (state.group_id, event.player_id), gone)
    if event.new_owner_id is not None:
        yield _member_row(state, event.new_owner_id, seq)


def _group_changed(state: GroupState, _event: Any, seq: int) -> Iterator[Row]:
    yield _group_row(state, seq)


PROJECTIONS: Final[Mapping[type, Callable[[Any, Any, int], Iterator[Row]]]] = {
    Created: _created,
    Joined: _joined,
    Begun: _begun,
    Finished: _finished,
    GroupCreated: _group_created,
    MemberJoined: _member_joined,
    MemberLeft: _member_left,
    GroupClosed: _group_changed,
    BattleIntended: _group_changed,
    BattleWithdrawn: _group_changed,
}
"""The rows that follow from an event, given the state right after it and its seq. None for events of play."""
