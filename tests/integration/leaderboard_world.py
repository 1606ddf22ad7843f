"""Battles that were fought on paper: scores as commits write them, and a clock that stands until it is moved."""

import contextlib
from collections.abc import AsyncIterator

import trio
from attrs import define, evolve

from gameserver.cluster.ports import Standing
from gameserver.config import LeaderboardSettings, PostgresSettings
from gameserver.ids import derived_id, new_id
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_leaderboards import PostgresLeaderboards
from gameserver.persistence.redis_leaderboards import RedisLeaderboards
from gameserver.persistence.redis_store import RedisStore
from tests.integration.redis_world import SETTINGS, eventually, raw

T0 = 1_800_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

GROUP = """
    INSERT INTO groups (id, name, owner_id, meta, members, closed, cooldown_until_ms, created_at_ms, seq)
    VALUES ($1, $2, $1, '{}', 1, false, 0, 0, 1) ON CONFLICT DO NOTHING
"""
SCORE = "INSERT INTO battle_scores VALUES ($1, $2, $3, $4)"


@define
class StandingClock:
    ms: int = T0

    def now_ms(self) -> int:
        return self.ms


@define
class World:
    postgres: Postgres
    store: RedisStore
    by_sql: PostgresLeaderboards
    boards: RedisLeaderboards
    clock: StandingClock
    redis_url: str

    async def commit(self, name: str, score: int, at_ms: int = T0, group_id: str = "") -> tuple[str, str, int, int]:
        """A finished battle as its commit leaves it; gives what its news says."""
        battle_id, group_id = new_id(), group_id or derived_id(name)
        await self.postgres.fetch(GROUP, group_id, name)
        await self.postgres.fetch(SCORE, battle_id, group_id, score, at_ms)
        return battle_id, group_id, score, at_ms

    async def win(self, name: str, score: int, at_ms: int = T0) -> None:
        await self.boards.record(*await self.commit(name, score, at_ms))

    async def shown(self, window: str = "all") -> list[tuple[int, str, int]]:
        return [(place.rank, place.name, place.score) for place in await self.boards.top(window, 100)]

    async def from_redis(self, window: str, limit: int = 1_000) -> list[Standing]:
        """The standings, and surely not from PostgreSQL."""
        before = self.boards.answered_by_postgres
        standings = list(await self.boards.top(window, limit))
        assert self.boards.answered_by_postgres == before
        return standings

    async def from_postgres(self, window: str, limit: int = 1_000) -> list[Standing]:
        return list(await self.by_sql.top(self.clock.ms - DAY_MS if window == "24h" else 0, limit))

    async def until_built(self) -> None:
        async def built() -> bool:
            before = self.boards.answered_by_postgres
            await self.boards.top("all", 1)
            return self.boards.answered_by_postgres == before

        await eventually(built, "the board is built")

    async def until_rebuilt(self) -> None:
        before = self.boards.builds

        async def rebuilt() -> bool:
            return self.boards.builds > before

        await eventually(rebuilt, "the board is built anew")

    async def until_shown(self, *expected: tuple[int, str, int], window: str = "all") -> None:
        async def look() -> bool:
            return await self.shown(window) == list(expected)

        await self.until_built()
        await eventually(look, f"{window} shows {expected}")

    def wipe(self) -> None:
        with raw(self.redis_url) as client:
            client.flushall()


@contextlib.asynccontextmanager
async def opened_world(
    database: str, redis_url: str, *, reconcile_interval_ms: int = 60_000, running: bool = True
) -> AsyncIterator[World]:
    settings = LeaderboardSettings(reconcile_interval_ms=reconcile_interval_ms)
    async with (
        open_bridge() as bridge,
        open_postgres(PostgresSettings(url=database), "test", 10_000) as postgres,
        trio.open_nursery() as nursery,
    ):
        store, clock = RedisStore(bridge, evolve(SETTINGS, url=redis_url)), StandingClock()
        by_sql = PostgresLeaderboards(postgres)
        boards = RedisLeaderboards(store, by_sql, clock, settings)
        world = World(postgres, store, by_sql, boards, clock, redis_url)
        await nursery.start(store.run)
        if running:
            nursery.start_soon(boards.run)
            await world.until_built()
        yield world
        nursery.cancel_scope.cancel()
