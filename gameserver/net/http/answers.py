"""What the API answers with: rows in the words of HTTP, with times as texts (RFC 3339, UTC)."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NewType

from attrs import frozen

from gameserver.net.http.bodies import Uuid
from gameserver.net.ports import BattleMemberRow, BattleRow, GroupMemberRow, GroupRow, PlayerRow

Time = NewType("Time", str)
EPOCH: Final = datetime.fromtimestamp(0, UTC)


def time_of(at_ms: int) -> Time:
    """2026-01-31T12:00:00.250Z"""
    return Time((EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def time_or_none(at_ms: int | None) -> Time | None:
    return None if at_ms is None else time_of(at_ms)


@frozen
class NewPlayer:
    id: Uuid
    username: str
    telegram_id: int | None
    created_at: Time
    token: str
    token_expires_at: Time
    refresh_token: str


@frozen
class NewToken:
    player_id: Uuid
    token: str
    token_expires_at: Time


@frozen
class Player:
    """`achieved` is the player's total over all finished battles."""

    id: Uuid
    username: str
    telegram_id: int | None
    created_at: Time
    achieved: int


@frozen
class Group:
    """`owner` is the ID of the owning player."""

    id: Uuid
    name: str
    owner: Uuid
    meta: dict[str, Any]
    created_at: Time


@frozen
class GroupMember:
    player_id: Uuid
    username: str
    role: Literal["owner", "member"]
    joined_at: Time


@frozen
class JoinedGroup:
    group_id: Uuid
    player_id: Uuid
    role: Literal["member"]
    joined_at: Time


@frozen
class LeftGroup:
    """`new_owner` is the player who owns the group from now on, if it was the owner who left."""

    group_id: Uuid
    player_id: Uuid
    new_owner: Uuid | None
    left_at: Time


@frozen
class Meta:
    mode: str


@frozen
class Battle:
    """`initiator` is a player; `winner_group_id` and `score` are known once the battle is finished."""

    id: Uuid
    group_attacker: Uuid
    group_defender: Uuid
    state: Literal["pending", "running", "finished"]
    meta: Meta
    initiator: Uuid
    winner_group_id: Uuid | None
    score: int
    reason: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    websocket_url: str | None


@frozen
class BattleMember:
    player_id: Uuid
    username: str
    role: Literal["initiator", "participant"]
    side: Literal["attacker", "defender"]
    joined_at: Time


@frozen
class JoinedBattle:
    battle_id: Uuid
    player_id: Uuid
    role: Literal["initiator", "participant"]
    side: Literal["attacker", "defender"]
    joined_at: Time


@frozen
class Place:
    """On a leaderboard; equal scores share a rank."""

    rank: int
    group_id: Uuid
    name: str
    score: int


def player(row: PlayerRow, achieved: int) -> Player:
    return Player(Uuid(row.id), row.username, row.telegram_id, time_of(row.created_at_ms), achieved)


def group(row: GroupRow) -> Group:
    return Group(Uuid(row.id), row.name, Uuid(row.owner_id), row.meta, time_of(row.created_at_ms))


def group_member(row: GroupMemberRow) -> GroupMember:
    role: Literal["owner", "member"] = "owner" if row.role == "owner" else "member"
    return GroupMember(Uuid(row.player_id), row.username, role, time_of(row.joined_at_ms))


def battle(row: BattleRow, websocket_url: str | None) -> Battle:
    return Battle(
        id=Uuid(row.id),
        group_attacker=Uuid(row.group_attacker),
        group_defender=Uuid(row.group_defender),
        state=row.state,  # type: ignore[arg-type]  # the row has it from the battle's own state
        meta=Meta(row.mode),
        initiator=Uuid(row.initiator_id),
        winner_group_id=Uuid(row.winner_group_id) if row.winner_group_id else None,
        score=row.score,
        reason=row.reason,
        created_at=time_of(row.created_at_ms),
        started_at=time_or_none(row.started_at_ms),
        finished_at=time_or_none(row.finished_at_ms),
        websocket_url=websocket_url,
    )


def battle_member(row: BattleMemberRow) -> BattleMember:
    role: Literal["initiator", "participant"] = "initiator" if row.role == "initiator" else "participant"
    side: Literal["attacker", "defender"] = "attacker" if row.side == "attacker" else "defender"
    return BattleMember(Uuid(row.player_id), row.username, role, side, time_of(row.joined_at_ms))
