"""What the HTTP edges need from the world outside: accounts, and lists that follow from events.

Rows are frozen attrs classes in the names of the HTTP API; times are wall-clock milliseconds, named `*_ms`.
All methods may raise StorageUnavailable.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from attrs import frozen

from gameserver.cluster.ports import Remembered


@frozen
class PlayerRow:
    id: str
    username: str
    telegram_id: int | None
    created_at_ms: int


@frozen
class GroupRow:
    id: str
    name: str
    owner_id: str
    meta: dict[str, Any]
    created_at_ms: int


@frozen
class GroupMemberRow:
    player_id: str
    username: str
    role: str
    joined_at_ms: int


@frozen
class BattleRow:
    id: str
    group_attacker: str
    group_defender: str
    mode: str
    state: str
    initiator_id: str
    winner_group_id: str | None
    score: int
    reason: str | None
    created_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None


@frozen
class BattleMemberRow:
    player_id: str
    username: str
    role: str
    side: str
    joined_at_ms: int


Cursor = tuple[str, ...]
"""Where a page ended: the sort key of its last row. Pages are stable: rows that come later push nothing around."""


class Accounts(Protocol):
    async def create_player(
        self, player: PlayerRow, refresh_token_hash: bytes, creation_key_hash: bytes | None, request_hash: str
    ) -> PlayerRow:
        """Insert the player with a first refresh token; under a key seen before, the player that it created then.

        Raises Refused: username_taken, idempotency_key_reused.
        """
        ...

    async def player(self, player_id: str) -> PlayerRow | None: ...

    async def achieved(self, player_id: str) -> int:
        """The player's total over all finished battles, in the unit of their modes."""
        ...

    async def refresh(self, refresh_token_hash: bytes) -> tuple[str, str] | None:
        """(player ID, session ID) of a refresh token that is neither expired nor revoked; its life is extended."""
        ...

    async def revoke(self, session_id: str) -> bool: ...

    async def reserve_group_name(self, name: str, group_id: str) -> bool:
        """Keep a name, ignoring case, for a group about to be created. False if another group has it; a reservation
        that never became a group lapses after a minute."""
        ...

    async def remembered(self, player_id: str, key: str) -> Remembered | None: ...


class Lists(Protocol):
    async def group(self, group_id: str) -> GroupRow | None: ...

    async def groups(self, after: Cursor | None, limit: int) -> Sequence[GroupRow]:
        """Newest first; the cursor is (created_at_ms, id)."""
        ...

    async def group_members(self, group_id: str, after: Cursor | None, limit: int) -> Sequence[GroupMemberRow]:
        """Longest-standing first; the cursor is (joined_at_ms, player_id)."""
        ...

    async def battle(self, battle_id: str) -> BattleRow | None: ...

    async def battles(
        self, state: str | None, group_id: str | None, player_id: str | None, after: Cursor | None, limit: int
    ) -> Sequence[BattleRow]:
        """Newest first, those of a group or of a player if asked; the cursor is (created_at_ms, id)."""
        ...

    async def battle_members(self, battle_id: str, after: Cursor | None, limit: int) -> Sequence[BattleMemberRow]:
        """In the order of joining; the cursor is (joined_at_ms, player_id)."""
        ...

    async def actors(self, after: Cursor | None, limit: int) -> Sequence[dict[str, Any]]:
        """For operators: id, kind, mode, epoch, last_seq, owner, wake_at_ms, set_aside; the cursor is (id,)."""
        ...
