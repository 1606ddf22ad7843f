"""Whatever fails in the middle of a hand-over: nothing is lost, nothing runs twice, and somebody owns the actor."""

import pytest
import trio

from gameserver.actors.ports import Accepted
from gameserver.cluster.placement import place
from gameserver.errors import Refused, StorageUnavailable
from tests.cluster.cluster_redis import LOST
from tests.cluster.cluster_stage import clustered
from tests.cluster.handing_over import AB, ABC, gives, moving, play_on, ran_once


@pytest.mark.parametrize("lands", [True, False])
async def test_a_commit_whose_outcome_is_unknown_in_the_middle(autojump_clock, lands):
    async with clustered(*AB) as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(moving(cluster))
        owner = cluster[cluster.holders(battle)[0]]
        await cluster.start("node-c")
        eve = await a.watcher(battle)
        await trio.sleep(1)
        owner.journal.lose_next(lands=lands)
        lost = owner.do(battle, "lost", 1)
        cluster.nursery.start_soon(gives, owner, battle, "node-c")
        assert await lost.code() == "outcome_unknown"
        assert isinstance(await owner.do(battle, "lost", 1).answer(), Accepted)
        assert await a.done(battle) == ["lost"]
        assert cluster.holders(battle) == ["node-c"]
        await trio.sleep(2)
        assert eve.has_seen(battle) == cluster.last_seq(battle)


async def test_a_commit_that_fails_in_the_middle(autojump_clock):
    async with clustered(*AB, postgres={"commit_deadline_ms": 10}) as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-a"))
        a.journal.fail_next(StorageUnavailable("away"))
        a.journal.fail_next(StorageUnavailable("away"))
        failed = a.do(battle, "failed", 1)
        cluster.nursery.start_soon(a.core.catalog.hand_over, battle, "node-b")
        assert await failed.code() == "storage_unavailable"
        await cluster.settle()
        a.cluster.owners.learn(battle, "node-b")
        assert isinstance(await a.do(battle, "again", 1).answer(), Accepted)
        assert len(cluster.holders(battle)) == 1
        assert await a.done(battle) == ["again"]


async def test_a_target_that_dies_in_the_middle_costs_a_retry(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        await cluster.start("node-c")
        eve = await cluster["node-a"].watcher(battle)

        async def die():
            await cluster.eventually(lambda: cluster.store.owner(battle) is None)
            await cluster["node-c"].kill()

        cluster.nursery.start_soon(die)
        counts = await play_on(cluster, battle, AB, 18)
        assert not cluster["node-c"].alive
        await ran_once(cluster, battle, counts)
        assert eve.has_seen(battle) == cluster.last_seq(battle)


async def test_storage_that_is_away_in_the_middle_loses_nothing(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        await cluster.start("node-c")

        async def go_away():
            await trio.sleep(1.9)
            for node in cluster.living:
                node.storage.away = True
            await trio.sleep(3)
            for node in cluster.living:
                node.storage.away = False

        cluster.nursery.start_soon(go_away)
        counts = await play_on(cluster, battle, ABC, 9)
        await ran_once(cluster, battle, counts)
        assert len(cluster.holders(battle)) == 1


async def test_an_actor_that_crashes_in_the_middle_is_handed_over_all_the_same(autojump_clock):
    async with clustered(*AB) as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-a"))
        await a.do(battle).answer()
        crash = a.do(battle, "raise in apply")
        behind = cluster["node-b"].do(battle)
        cluster.nursery.start_soon(a.core.catalog.hand_over, battle, "node-b")
        assert isinstance(await crash.answer(), Refused)
        await trio.sleep(3)
        assert behind.answered
        assert cluster.holders(battle) in ([], ["node-b"])
        a.cluster.owners.learn(battle, "node-b")
        assert await a.done(battle) == ["hit"] * (2 if isinstance(await behind.answer(), Accepted) else 1)
        assert len(cluster.holders(battle)) == 1


async def test_a_lease_that_ends_in_the_middle_leaves_one_owner(autojump_clock):
    async with clustered(*AB) as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-a"))
        with a.journal.holding():
            on_its_way = a.do(battle, "late", 1)
            await cluster.settle()
            cluster.nursery.start_soon(a.core.catalog.hand_over, battle, "node-b")
            await cluster.settle()
            a.core.catalog.drop_all()
            a.end_lease()
            counts = await play_on(cluster, battle, ("node-b",), 2)
        assert not isinstance(await on_its_way.answer(), Accepted)
        await ran_once(cluster, battle, counts)


async def test_a_node_that_stops_hands_over_everything_and_who_plays_goes_on(autojump_clock):
    async with clustered(*ABC) as cluster:
        battles = [await cluster.battle(cluster.id_on("node-b")) for _ in range(5)]
        watchers = [await cluster["node-a"].watcher(battle) for battle in battles]
        epochs = {battle: cluster.store.epoch(battle) for battle in battles}

        async def stop():
            await trio.sleep(1)
            await cluster["node-b"].stop()

        cluster.nursery.start_soon(stop)
        counts = await play_on(cluster, battles[0], ("node-a", "node-c"), 4)
        await ran_once(cluster, battles[0], counts)
        for battle, eve in zip(battles, watchers, strict=True):
            await cluster["node-a"].do(battle).answer()
            await cluster.settle()
            assert eve.has_seen(battle) == cluster.last_seq(battle)
            assert cluster.holders(battle) == [place(battle, ["node-a", "node-c"])]
            assert cluster.store.epoch(battle) == epochs[battle] + 1


async def test_a_node_that_stops_while_the_directory_is_away_costs_retries_at_most(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.board.away = True

        async def stop():
            await trio.sleep(1)
            await cluster["node-b"].stop()

        cluster.nursery.start_soon(stop)
        counts = await play_on(cluster, battle, ("node-a", "node-c"), 8)
        await ran_once(cluster, battle, counts)
        cluster.board.away = False


async def test_a_node_that_stops_while_the_bus_is_away_leaves_its_actors_to_whoever_asks(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.cut()
        await cluster["node-b"].stop()
        counts = await play_on(cluster, battle, ("node-a",), 12)
        await ran_once(cluster, battle, counts)
        assert cluster.holders(battle) == ["node-a"]
        cluster.hub.heal()


async def test_lost_words_between_giver_and_taker_cost_a_retry_at_most(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        await cluster.start("node-c")
        lossy = {"lost": 0}

        def rule(_sender, _to, _items):
            lossy["lost"] += 1
            return LOST if lossy["lost"] % 3 == 0 else 0.0

        cluster.hub.rule = rule
        counts = await play_on(cluster, battle, ("node-a",), 20)
        cluster.hub.rule = lambda *_: 0.0
        await ran_once(cluster, battle, counts)
        assert cluster.holders(battle) == ["node-c"]
