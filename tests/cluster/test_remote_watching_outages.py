"""Watching from another node while the bus, the journal or a node is slow or away."""

import random

import pytest
import trio

from gameserver.actors.ports import Accepted
from gameserver.cluster.items import Activated, Events, Request
from gameserver.game.commands import CloseBattle
from tests.cluster.cluster_redis import LOST
from tests.cluster.cluster_stage import clustered
from tests.cluster.remote_watching import ABC, hits, losing, sees_all


async def test_a_slow_journal_holds_up_nobody_but_who_has_to_catch_up(autojump_clock):
    async with clustered("node-a", "node-b", actors={"idle_ms": 3_000}) as cluster:
        a = cluster["node-a"]
        idle = await cluster.battle(cluster.id_on("node-b"))
        await cluster.eventually(lambda: not cluster.holders(idle))
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await a.watcher(battle), await a.watcher(idle)]
        await cluster.eventually(lambda: not cluster.holders(idle))
        a.storage.facts_latency_s = a.storage.latency_s = 4.5
        for _ in range(40):
            await hits(cluster, battle)
            await cluster.settle()
            assert watchers[0].has_seen(battle) == cluster.last_seq(battle)
            await trio.sleep(0.5)
        a.storage.facts_latency_s = a.storage.latency_s = 0


async def test_who_catches_up_slowly_while_more_gets_lost_is_not_sent_away(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await a.watcher(battle)
        a.storage.latency_s = 1.5
        cluster.hub.rule = losing(Events, to="node-a")
        for _ in range(10):
            await hits(cluster, battle)
            await trio.sleep(0.3)
            cluster.hub.rule = (
                losing(Events, to="node-a") if cluster.hub.rule("", "node-a", [Events("", 1)]) else losing()
            )
        cluster.hub.rule = losing()
        await sees_all(cluster, battle, eve, within_s=6)
        a.storage.latency_s = 0


@pytest.mark.parametrize("latency_s", [0.0, 1.5])
async def test_while_the_bus_is_away_events_come_from_the_journal_a_little_late(autojump_clock, latency_s):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster.hub.cut()
        cluster["node-a"].storage.latency_s = latency_s
        for _ in range(10):
            await hits(cluster, battle)
            await trio.sleep(0.7)
        await sees_all(cluster, battle, eve, within_s=1.5 + 2 * latency_s)
        cluster["node-a"].storage.latency_s = 0
        cluster.hub.heal()
        await hits(cluster, battle)
        await sees_all(cluster, battle, eve)


async def test_while_the_owner_alone_has_no_bus_events_come_from_the_journal_a_little_late(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster["node-b"].bus.cut()
        for _ in range(10):
            await hits(cluster, battle)
            await sees_all(cluster, battle, eve, within_s=3)
        cluster["node-b"].bus.heal()


async def test_without_a_bus_and_a_journal_nobody_is_shown_a_gap_and_all_is_made_good_later(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await a.watcher(battle)
        cluster.hub.cut()
        a.storage.stalled.close()
        await hits(cluster, battle, 5)
        await trio.sleep(5)
        a.storage.stalled.open()
        await sees_all(cluster, battle, eve)
        cluster.hub.heal()


async def test_a_watchers_node_that_hung_for_long_catches_up(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await a.watcher(battle)
        a.gate.close()
        for _ in range(8):
            await hits(cluster, battle, 2)
            await trio.sleep(1)
        a.gate.open()
        await hits(cluster, battle)
        await sees_all(cluster, battle, eve)


async def test_an_owner_that_hung_until_its_lease_ended_sends_nothing_that_is_not_so(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a, b = cluster["node-a"], cluster["node-b"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await a.watcher(battle), await b.watcher(battle)]
        b.gate.close()
        lost = b.do(battle, "lost")
        await trio.sleep(12)
        await hits(cluster, battle, 3, via="node-a")
        b.gate.open()
        await trio.sleep(1)
        assert not isinstance(await lost.answer(), Accepted)
        assert await a.done(battle) == ["hit"] * 3
        await hits(cluster, battle, 2, via="node-b")
        await sees_all(cluster, battle, *watchers)


@pytest.mark.parametrize("seed", range(4))
async def test_chaos_between_the_nodes_costs_nobody_an_event(autojump_clock, seed):
    """Anything may be lost, late or doubled, buses come and go, actors move; in the end everybody has seen all."""
    chance = random.Random(seed)
    async with clustered(*ABC) as cluster:
        battles = [await cluster.battle(cluster.id_on(name)) for name in ABC]
        watchers = [(await cluster[name].watcher(battle), battle) for battle in battles for name in ABC]
        cluster.hub.rule = lambda *_: chance.choice([LOST, "twice", 0.0, 0.0, 0.05, 0.3])
        for _ in range(60):
            battle, via = chance.choice(battles), cluster[chance.choice(ABC)]
            via.do(battle)
            match chance.randrange(12):
                case 0:
                    via.bus.cut()
                case 1 | 2:
                    via.bus.heal()
                case 3:
                    cluster.nursery.start_soon(via.core.catalog.hand_over, battle, chance.choice(ABC))
            await trio.sleep(chance.random() / 3)
        cluster.hub.rule = losing()
        cluster.hub.heal()
        await trio.sleep(5)
        for watcher, battle in watchers:
            await sees_all(cluster, battle, watcher)


async def test_what_a_finished_battle_says_after_its_owner_died_is_heard_though_nobody_announced_it(autojump_clock):
    def rule(sender, to, items):
        telling = any(isinstance(item, Request) and isinstance(item.command, CloseBattle) for item in items)
        return LOST if (telling and sender == "node-a") or any(isinstance(item, Activated) for item in items) else 0.0

    async with clustered(*ABC, actors={"wake_interval_ms": 8_000}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-a"))
        eve = await cluster["node-b"].watcher(battle)
        cluster.hub.rule = rule
        await cluster["node-a"].do(battle, "win").answer()
        await cluster.settle()
        finished_at = cluster.last_seq(battle)
        await cluster["node-a"].kill(lease_ends=True)
        await cluster.eventually(lambda: cluster.last_seq(battle) == finished_at + 2)
        await cluster.eventually(lambda: eve.has_seen(battle) == cluster.last_seq(battle), within_s=3)
