"""Who watches a battle of another node sees all of it, in order, whatever gets lost between the nodes."""

import pytest
import trio

from gameserver.actors.messages import Message, Wake, ignore
from gameserver.actors.ports import Accepted
from gameserver.cluster.items import Activated, Events, NotHere, Response, Watching
from tests.cluster.cluster_redis import LOST
from tests.cluster.cluster_stage import clustered
from tests.cluster.remote_watching import ABC, hits, losing, sees_all


async def test_events_of_another_node_come_as_they_are_committed(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await cluster[name].watcher(battle) for name in ABC]
        for _ in range(5):
            await hits(cluster, battle)
            await cluster.settle()
            assert {client.has_seen(battle) for client in watchers} == {cluster.last_seq(battle)}


async def test_events_cross_once_per_node_however_many_watch_there(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await cluster["node-a"].watcher(battle, f"player {number}") for number in range(10)]
        await hits(cluster, battle)
        await cluster.settle()
        carried = [item for item in cluster.hub.heard_items(Events, to="node-a") if item.lines]
        assert len(carried) == 1
        assert cluster.hub.heard_items(Events, to="node-c") == []
        await sees_all(cluster, battle, *watchers)


async def test_two_sessions_at_different_positions_each_get_what_they_lack(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await hits(cluster, battle, 5)
        late, early = cluster["node-a"].client("eve"), cluster["node-a"].client("joe")
        assert (await late.ask("battle:watch", battle))["payload"]["seq"] == cluster.last_seq(battle)
        assert (await early.ask("battle:watch", battle, after=2))["payload"]["recovered"] is True
        await hits(cluster, battle, 3)
        await sees_all(cluster, battle, late, early)
        assert early.seqs(battle) == list(range(3, cluster.last_seq(battle) + 1))
        assert late.seqs(battle) == early.seqs(battle)[-3:]


async def test_a_resume_at_a_node_that_does_not_own_the_battle_gets_what_was_missed_and_goes_on(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        seen = eve.has_seen(battle)
        eve.hang_up()
        await hits(cluster, battle, 4)
        again = cluster["node-a"].client("eve", instance=2)
        cluster["node-a"].storage.latency_s = 0.5
        number = again.say("battle:watch", battle, after=seen)
        await trio.sleep(0.2)
        await hits(cluster, battle, 3)
        assert (await again.answer(number))["payload"]["recovered"] is True
        await sees_all(cluster, battle, again)
        assert again.seqs(battle) == list(range(seen + 1, cluster.last_seq(battle) + 1))


@pytest.mark.parametrize("kind", [Events, Watching, Activated, NotHere])
async def test_whatever_is_lost_for_a_while_is_found_soon_after(autojump_clock, kind):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster.hub.rule = losing(kind)
        for _ in range(10):
            await hits(cluster, battle)
            await trio.sleep(0.7)
        cluster.hub.rule = losing()
        await sees_all(cluster, battle, eve)


async def test_the_last_event_is_found_when_it_was_lost(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        await hits(cluster, battle, 3)
        cluster.hub.rule = losing(Events)
        await cluster["node-b"].do(battle, "win").answer()
        await cluster.settle()
        cluster.hub.rule = losing()
        await sees_all(cluster, battle, eve, within_s=1.5)
        assert "battle:finished" in {message["event"] for message in eve.received}


async def test_what_the_groups_say_after_the_end_is_found_when_it_was_lost(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster.hub.rule = lambda _sender, _to, items: (
            LOST if any(type(item) is Events and not item.finished for item in items) else 0.0
        )
        await cluster["node-b"].do(battle, "win").answer()
        await cluster.settle()
        assert "battle:finished" in {message["event"] for message in eve.received}
        cluster.hub.rule = losing()
        await sees_all(cluster, battle, eve)


async def test_a_battle_that_is_over_and_out_of_memory_is_not_asked_for_for_ever_though_its_end_was_lost(
    autojump_clock,
):
    async with clustered("node-a", "node-b", actors={"idle_ms": 2_000}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster.hub.rule = losing(Events)
        await cluster["node-b"].do(battle, "win").answer()
        await cluster.settle()
        cluster.hub.rule = losing()
        await sees_all(cluster, battle, eve)
        await cluster.eventually(lambda: not cluster.holders(battle))
        await trio.sleep(15)
        cluster.hub.heard.clear()
        cluster["node-a"].facts.looked_up.clear()
        await trio.sleep(5)
        assert cluster.hub.heard_items(Watching) == cluster["node-a"].facts.looked_up == []


async def test_doubled_packets_show_nobody_anything_twice(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = lambda _sender, _to, _items: "twice"
        watchers = [await cluster[name].watcher(battle) for name in ABC]
        for _ in range(5):
            await hits(cluster, battle, 3)
        await sees_all(cluster, battle, *watchers)


async def test_a_lost_answer_to_a_watch_leaves_no_watch_and_the_next_try_succeeds(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = losing(Response)
        eve = cluster["node-a"].client("eve")
        assert await eve.code("battle:watch", battle) == "deadline_exceeded"
        cluster.hub.rule = losing()
        await eve.ask("battle:watch", battle)
        await hits(cluster, battle, 2)
        await sees_all(cluster, battle, eve)


async def test_who_joins_through_another_node_gets_the_events_on_all_of_its_connections(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eves = [cluster[name].client("eve", instance) for instance, name in enumerate([*ABC, "node-a"], 1)]
        assert (await eves[0].ask("battle:join", battle))["event"] == "reply"
        await hits(cluster, battle, 2)
        await sees_all(cluster, battle, *eves)
        assert all(eve.seqs(battle)[0] == eves[0].seqs(battle)[0] for eve in eves)


async def test_the_owner_dies_and_another_takes_over(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await cluster[name].watcher(battle) for name in ("node-a", "node-c")]
        await hits(cluster, battle, 2)
        await cluster["node-b"].kill(lease_ends=True)
        await trio.sleep(3)
        await hits(cluster, battle, 3, via="node-a")
        await sees_all(cluster, battle, *watchers)


async def test_what_a_dying_owner_committed_and_told_nobody_is_seen(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster.hub.rule = losing(Events)
        await hits(cluster, battle, 3)
        await cluster["node-b"].kill()
        cluster.hub.rule = losing()
        await sees_all(cluster, battle, eve, within_s=5)


async def test_an_idle_battle_that_leaves_memory_while_it_is_watched_is_watched_again_when_it_goes_on(autojump_clock):
    async with clustered("node-a", "node-b", actors={"idle_ms": 3_000}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        for _ in range(2):
            await cluster.eventually(lambda: not cluster.holders(battle))
            await trio.sleep(10)
            await hits(cluster, battle)
            await hits(cluster, battle)
            await sees_all(cluster, battle, eve, within_s=1.5)


async def test_watching_an_idle_battle_asks_the_journal_at_most_once_per_renewal(autojump_clock):
    async with clustered("node-a", "node-b", actors={"idle_ms": 3_000}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        for number in range(5):
            await cluster["node-a"].watcher(battle, f"player {number}")
        await cluster.eventually(lambda: not cluster.holders(battle))
        cluster["node-a"].facts.looked_up.clear()
        await trio.sleep(10)
        assert len(cluster["node-a"].facts.looked_up) <= 11


async def test_the_watchers_node_becomes_the_owner_and_gives_it_back(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a, b = cluster["node-a"], cluster["node-b"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await a.watcher(battle), await b.watcher(battle)]
        for giver, taker in ((b, a), (a, b), (b, a)):
            await giver.core.catalog.hand_over(battle, taker.name)
            taker.core.catalog.deliver(Message(battle, Wake(), ignore, trio.current_time() + 1))
            assert isinstance(await taker.do(battle).answer(), Accepted)
            assert cluster.holders(battle) == [taker.name]
            await hits(cluster, battle, 2)
            await sees_all(cluster, battle, *watchers, within_s=1.5)


async def test_a_watch_that_begins_during_a_hand_over(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a, b = cluster["node-a"], cluster["node-b"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        with b.journal.holding() as held:
            b.do(battle)
            await held.arrived.wait()
            cluster.nursery.start_soon(b.core.catalog.hand_over, battle, "node-a")
            await trio.sleep(0.1)
            watchers = [a.client("eve"), b.client("joe")]
            numbers = [client.say("battle:watch", battle) for client in watchers]
            await trio.sleep(0.1)
        for client, number in zip(watchers, numbers, strict=True):
            assert (await client.answer(number))["event"] == "reply"
        assert cluster.holders(battle) == ["node-a"]
        await hits(cluster, battle, 2)
        await sees_all(cluster, battle, *watchers)


async def test_when_nobody_watches_any_more_the_owner_stops_sending(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        await hits(cluster, battle)
        eve.hang_up()
        await trio.sleep(15)
        cluster.hub.heard.clear()
        await hits(cluster, battle)
        await cluster.settle()
        assert cluster.hub.heard_items(Events, to="node-a") == []
        assert len(cluster["node-b"].cluster.watch_leases) == 0


async def test_leases_of_battles_that_say_nothing_any_more_do_not_pile_up(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battles = [await cluster.battle(cluster.id_on("node-b")) for _ in range(20)]
        eve = cluster["node-a"].client("eve")
        for battle in battles:
            await eve.ask("battle:watch", battle)
        eve.hang_up()
        await trio.sleep(10)
        last = await cluster["node-a"].watcher(battles[-1])
        await trio.sleep(30)
        assert last.has_seen(battles[-1])
        assert len(cluster["node-b"].cluster.watch_leases) <= 2


async def test_a_battle_that_nobody_watched_any_more_is_followed_again_for_the_next_who_comes(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        eve.hang_up()
        cluster["node-a"].core.renewals._done.add(battle)  # as it is when the last one leaves during a look-up
        dan = await cluster["node-a"].watcher(battle, "dan")
        await trio.sleep(5)
        await hits(cluster, battle, 2)
        await sees_all(cluster, battle, dan)
