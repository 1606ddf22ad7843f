"""Rows as commits project them, put straight into a test's database."""

from gameserver.ids import new_id
from gameserver.net.ports import PlayerRow
from gameserver.persistence.postgres import Postgres
from gameserver.persistence.postgres_accounts import PostgresAccounts

GROUP = 'INSERT INTO groups VALUES ($1, $2, $3, \'{"motto": "ha"}\', 1, $4, 0, $5, 1)'
MEMBER = "INSERT INTO group_members VALUES ($1, $2, $3, $4, $5, 1)"
BATTLE = "INSERT INTO battles VALUES ($1, $2, $3, 'classic', $4, $5, NULL, 0, NULL, $6, NULL, NULL, 1)"
SEAT = "INSERT INTO battle_members VALUES ($1, $2, 'participant', 'attacker', $3, $4, 1)"


async def player(accounts: PostgresAccounts, name: str) -> str:
    row = PlayerRow(new_id(), name, None, 1_000)
    return (await accounts.create_player(row, name.encode(), None, "hash")).id


async def group(postgres: Postgres, owner_id: str, at_ms: int = 1_000, *, closed: bool = False) -> str:
    group_id = new_id()
    await postgres.fetch(GROUP, group_id, f"group {group_id}", owner_id, closed, at_ms)
    return group_id


async def member(
    postgres: Postgres, group_id: str, player_id: str, at_ms: int = 1_000, left_at_ms: int | None = None
) -> None:
    await postgres.fetch(MEMBER, group_id, player_id, "member", at_ms, left_at_ms)


async def battle(
    postgres: Postgres, attacker: str, defender: str, initiator: str, at_ms: int = 1_000, state: str = "pending"
) -> str:
    battle_id = new_id()
    await postgres.fetch(BATTLE, battle_id, attacker, defender, state, initiator, at_ms)
    return battle_id


async def seat(
    postgres: Postgres, battle_id: str, player_id: str, at_ms: int = 1_000, achieved: int | None = None
) -> None:
    await postgres.fetch(SEAT, battle_id, player_id, at_ms, achieved)
