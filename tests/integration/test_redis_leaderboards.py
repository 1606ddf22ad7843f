import random

import pytest
import trio

from gameserver.errors import Refused
from gameserver.ids import derived_id
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.redis_leaderboards import RedisLeaderboards
from tests.integration.leaderboard_world import DAY_MS, HOUR_MS, T0, World, opened_world
from tests.integration.redis_world import raw, until_available


async def test_the_best_come_first_and_equals_share_a_rank(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url) as world:
        for name, score in (
            ("bears", 5),
            ("crows", 9),
            ("ants", 5),
            ("dogs", 1),
            ("bears", 2),
            ("ants", 2),
            ("eels", 0),
        ):
            await world.win(name, score)
        expected = [(1, "crows", 9), (2, "ants", 7), (2, "bears", 7), (4, "dogs", 1)]
        assert await world.shown("all") == expected
        assert await world.shown("24h") == expected
        assert await world.from_redis("all", 3) == await world.from_postgres("all", 3)
        assert await world.from_redis("all") == await world.from_postgres("all")
        assert await world.boards.top("all", 0) == []


async def test_a_score_recorded_again_changes_nothing(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url) as world:
        news = await world.commit("bears", 5)
        for _ in range(3):
            await world.boards.record(*news)
        assert await world.shown() == [(1, "bears", 5)]


async def test_the_window_slides_and_all_stays(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url) as world:
        await world.win("bears", 5, T0 - DAY_MS + 1_000)
        await world.win("bears", 3, T0)
        await world.win("crows", 4, T0 - DAY_MS + 2_000)
        world.clock.ms = T0 + 999
        assert await world.shown("24h") == [(1, "bears", 8), (2, "crows", 4)]
        world.clock.ms = T0 + 1_000
        assert await world.shown("24h") == [(1, "crows", 4), (2, "bears", 3)]
        world.clock.ms = T0 + 2_000
        assert await world.shown("24h") == [(1, "bears", 3)]
        world.clock.ms = T0 + DAY_MS
        assert await world.shown("24h") == []
        assert await world.shown("all") == [(1, "bears", 8), (2, "crows", 4)]
        with raw(redis_url) as client:
            assert client.keys("*entries") == [], "entries are not kept for ever"


async def test_another_window_is_refused(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url, running=False) as world:
        with pytest.raises(Refused, match="invalid_message"):
            await world.boards.top("7d", 10)


async def test_it_is_rebuilt_after_a_wipe(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url) as world:
        await world.win("bears", 5, T0 - 2 * DAY_MS)
        await world.win("bears", 2)
        await world.win("crows", 6)
        world.wipe()
        expected = [(1, "bears", 7), (2, "crows", 6)]
        assert await world.shown() == expected, "PostgreSQL answers meanwhile"
        await world.until_shown(*expected)
        assert await world.shown("24h") == [(1, "crows", 6), (2, "bears", 2)]
        with raw(redis_url) as client:
            kept = [key for key in client.keys("*leaderboard:*") if client.ttl(key) != -1]
        assert kept == [], "what counts does not expire"


async def test_scores_of_an_outage_get_in(database: str, redis_url: str, embedded_valkey: EmbeddedValkey) -> None:
    async with opened_world(database, redis_url) as world:
        await world.win("bears", 5)
        embedded_valkey._running.stop()
        await world.win("crows", 6)
        assert await world.shown() == [(1, "crows", 6), (2, "bears", 5)]
        assert await world.shown("24h") == [(1, "crows", 6), (2, "bears", 5)]
        embedded_valkey.restart()
        await until_available(world.store)
        await world.until_shown((1, "crows", 6), (2, "bears", 5))


async def test_a_redis_that_only_paused_keeps_its_board(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url) as world:
        await world.win("bears", 5)
        builds = world.boards.builds
        with raw(redis_url) as client:
            client.client_pause(1_200)
        await world.win("crows", 6)
        assert not world.store.available
        await until_available(world.store)
        await world.until_shown((1, "crows", 6), (2, "bears", 5))
        assert world.boards.builds == builds


async def test_a_crash_between_commit_and_record_is_reconciled(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url, reconcile_interval_ms=50) as world:
        await world.win("bears", 5)
        await world.commit("crows", 6)
        await world.until_shown((1, "crows", 6), (2, "bears", 5))
        assert world.boards.builds == 1


async def test_a_score_that_comes_after_everything_kept_gets_in(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url) as world:
        await world.win("bears", 5, T0 - 3 * DAY_MS)
        await world.until_shown((1, "bears", 5))
        assert world.boards.builds == 2
        assert await world.shown("24h") == []


async def test_a_long_outage_of_this_task_ends_in_a_build(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url, reconcile_interval_ms=50) as world:
        await world.win("bears", 5)
        world.clock.ms += 2 * DAY_MS
        await world.commit("crows", 6, T0 + HOUR_MS)
        await world.until_shown((1, "crows", 6), (2, "bears", 5))
        assert await world.shown("24h") == []


async def test_recording_while_several_nodes_rebuild_doubles_nothing(database: str, redis_url: str) -> None:
    async with opened_world(database, redis_url, reconcile_interval_ms=50) as world:
        other = RedisLeaderboards(world.store, world.by_sql, world.clock, world.boards._settings)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run)
            for number in range(60):
                await world.win(f"group {number % 7}", number)
                if number % 20 == 10:
                    world.wipe()
            await (
                world.until_built()
            )  # whoever is cancelled while it builds keeps the others from it for its claim's TTL
            nursery.cancel_scope.cancel()
        standings = [(place.rank, place.name, place.score) for place in await world.from_postgres("all")]
        await world.until_shown(*standings)
        await world.until_shown(*standings, window="24h")


@pytest.mark.parametrize("seed", range(4))
async def test_redis_and_postgres_agree(database: str, redis_url: str, seed: int) -> None:
    async with opened_world(database, redis_url) as world:
        dice = random.Random(seed)
        names = [
            "a",
            "a b",
            "ab",
            "B",
            "Ä",
            "ä",
            "é",
            "Z",
            "z\u0301",
            "~",
            "\U0001f98a",
            "\uffee",
            "group-1",
            "group 1",
        ]
        await _fight(world, dice, names)
        for window in ("all", "24h"):
            for limit in (1, 5, 1_000):
                assert await world.from_redis(window, limit) == await world.from_postgres(window, limit)
        world.clock.ms += dice.randrange(DAY_MS)
        assert await world.from_redis("24h") == await world.from_postgres("24h")
        before = await world.from_redis("all")
        world.wipe()
        await world.until_rebuilt()
        assert await world.from_redis("all") == before == await world.from_postgres("all")
        assert await world.from_redis("24h") == await world.from_postgres("24h")


async def _fight(world: World, dice: random.Random, names: list[str]) -> None:
    """Battles of the last 24 hours, out of order; few different scores, so that many are equal; two groups per name."""
    for number in range(150):
        name = dice.choice(names)
        group_id = derived_id(name, str(dice.randrange(2)))
        news = await world.commit(name, dice.choice((0, 1, 2, 5)), T0 - dice.randrange(DAY_MS), group_id)
        for _ in range(number % 2 + 1):
            await world.boards.record(*news)
