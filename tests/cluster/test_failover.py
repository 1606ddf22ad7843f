"""A node dies: its battles go on elsewhere, by themselves, soon, and without keeping anybody waiting."""

import trio

from gameserver.actors.ports import Accepted
from gameserver.errors import CommitRejected
from tests.cluster.cluster_stage import clustered

ABC = ("node-a", "node-b", "node-c")
LEASE_S = 2.0
REVIVAL_S = 0.5
HOUR_MS = 3_600_000


async def running_battle(cluster, on, via=None):
    """With a timer that is far away."""
    battle = await cluster.battle(cluster.id_on(on), via=via)
    assert isinstance(await cluster[on].do(battle, "timer", ms=HOUR_MS).answer(), Accepted)
    return battle


async def test_running_battles_of_a_dead_node_go_on_elsewhere_without_a_command(autojump_clock):
    async with clustered(*ABC) as cluster:
        battles = [await running_battle(cluster, "node-b") for _ in range(20)]
        await cluster["node-b"].kill()
        await trio.sleep(LEASE_S + REVIVAL_S)
        holders = {battle: cluster.holders(battle) for battle in battles}
        assert {tuple(each) for each in holders.values()} == {("node-a",), ("node-c",)}
        for battle, (holder,) in holders.items():
            assert cluster["node-a"].cluster.owners.place(battle) == holder


async def test_battles_without_a_timer_wait_for_a_command(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-b"].kill(lease_ends=True)
        await trio.sleep(10)
        assert cluster.holders(battle) == []
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)


async def test_a_node_that_comes_back_under_its_name_at_once_goes_on_with_its_battles(autojump_clock):
    async with clustered(*ABC) as cluster:
        battles = [await running_battle(cluster, "node-b") for _ in range(20)]
        await cluster["node-b"].kill()
        await trio.sleep(0.2)
        await cluster.start("node-b")
        await trio.sleep(REVIVAL_S)
        assert [cluster.holders(battle) for battle in battles] == [["node-b"]] * 20
        assert all(cluster["node-a"].sees()[name] == "alive" for name in ABC)


async def test_a_node_that_lost_its_lease_for_a_moment_goes_on_with_its_battles(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await running_battle(cluster, "node-b")
        cluster["node-b"].end_lease()
        await trio.sleep(2 * REVIVAL_S)
        assert len(cluster.holders(battle)) == 1
        assert cluster.store.epoch(battle) == 2
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)


async def test_a_node_that_postgresql_knows_to_be_gone_gets_nothing_although_the_view_has_it(autojump_clock):
    async with clustered("node-a", "node-b", cluster={"node_ttl_ms": 600_000}) as cluster:
        battle = await running_battle(cluster, "node-b")
        await cluster["node-b"].kill(lease_ends=True)
        await trio.sleep(REVIVAL_S)
        assert cluster["node-a"].sees()["node-b"] != "dead"
        assert cluster.holders(battle) == ["node-a"]


async def test_who_watches_on_a_living_node_notices_a_pause_and_no_more(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await running_battle(cluster, "node-b")
        eve = await cluster["node-a"].watcher(battle)
        await cluster["node-c"].do(battle).answer()
        await cluster["node-b"].kill()
        await trio.sleep(LEASE_S + REVIVAL_S)
        assert isinstance(await cluster["node-c"].do(battle).answer(), Accepted)
        await cluster.eventually(lambda: eve.has_seen(battle) == cluster.last_seq(battle), within_s=2)


async def test_a_crowd_that_a_dead_node_leaves_keeps_nobody_waiting(autojump_clock):
    async with clustered("node-a", "node-b", actors={"wakes_limit": 2}) as cluster:
        crowd = [await running_battle(cluster, "node-b") for _ in range(100)]
        quiet = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-b"].kill(lease_ends=True)
        cluster["node-a"].storage.latency_s = 0.1
        await cluster.eventually(lambda: cluster["node-a"].sees()["node-b"] == "dead")
        asked_at = trio.current_time()
        assert isinstance(await cluster["node-a"].do(quiet, number=1).answer(), Accepted)
        assert trio.current_time() - asked_at < 1
        assert not all(cluster.holders(battle) for battle in crowd)
        await cluster.eventually(lambda: all(cluster.holders(battle) for battle in crowd))


async def test_a_dead_node_is_known_to_be_dead_when_its_time_is_over_and_not_a_beat_later(autojump_clock):
    async with clustered("node-a", "node-b", cluster={"beat_interval_ms": 900}) as cluster:
        last_beat_at = cluster.board.beats["node-b"][1]
        await cluster["node-b"].kill()
        await trio.sleep_until(last_beat_at + 1.99)
        assert cluster["node-a"].sees()["node-b"] != "dead"
        await trio.sleep(0.02)
        assert cluster["node-a"].sees()["node-b"] == "dead"


async def test_an_actor_of_ours_that_was_abandoned_is_woken_when_its_timer_is_due(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-a"))
        await cluster["node-a"].do(battle, "timer", ms=3_000).answer()
        cluster["node-a"].journal.fail_next(CommitRejected("so it goes"))
        assert await cluster["node-a"].do(battle, "hit").code() == "commit_rejected"
        await cluster.settle()
        assert cluster.holders(battle) == []
        await trio.sleep(3.5)
        assert cluster.holders(battle) == ["node-a"]
