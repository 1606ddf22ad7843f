"""Actors move to where placement wants them, and nobody who plays loses anything by it."""

import trio

from gameserver.actors.messages import Message, Show
from gameserver.actors.ports import Accepted, Shown
from gameserver.cluster.items import Goodbye
from gameserver.cluster.placement import place
from gameserver.cluster.ports import NodeInfo
from tests.actors.node import answers
from tests.cluster.cluster_stage import clustered, id_placed
from tests.cluster.handing_over import AB, ABC, SETTLED_S, gives, moving, play_on, ran_once


async def test_when_a_node_comes_it_gets_its_actors_and_each_epoch_rises_by_one(autojump_clock):
    async with clustered(*AB) as cluster:
        battles = [await cluster.battle(moving(cluster)) for _ in range(6)]
        battles += [await cluster.battle(id_placed("node-a", ABC, cluster.store.actors)) for _ in range(6)]
        before = {battle: (cluster.store.epoch(battle), cluster.holders(battle)) for battle in battles}
        await cluster.start("node-c")
        await trio.sleep(SETTLED_S)
        for battle in battles:
            await cluster["node-a"].ask(battle, Show())
            epoch, holders = before[battle]
            moved = place(battle, ABC) == "node-c"
            assert cluster.holders(battle) == (["node-c"] if moved else holders)
            assert cluster.store.epoch(battle) == (epoch + 1 if moved else epoch)


async def test_a_new_node_keeps_what_it_was_given_though_it_believed_that_the_giver_had_it(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        c = await cluster.start("node-c")
        eve = await c.watcher(battle)
        await c.do(battle, "timer", ms=60_000).answer()
        epoch = cluster.store.epoch(battle)
        await trio.sleep(SETTLED_S)
        assert cluster.holders(battle) == ["node-c"]
        await cluster["node-a"].do(battle).answer()
        await cluster["node-b"].do(battle).answer()
        assert cluster.holders(battle) == ["node-c"]
        assert cluster.store.epoch(battle) == epoch + 1
        await cluster.settle()
        assert eve.has_seen(battle) == cluster.last_seq(battle)


async def test_commands_during_a_hand_over_all_run_once_and_in_their_order(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        await cluster.start("node-c")
        for node in cluster.living:
            node.storage.latency_s = 0.05
        counts = await play_on(cluster, battle, ABC, SETTLED_S + 1)
        assert cluster.holders(battle) == ["node-c"]
        await ran_once(cluster, battle, counts)
        for node in cluster.living:
            node.storage.latency_s = 0


async def test_commands_that_wait_while_an_actor_is_handed_over_are_answered_by_the_new_owner(autojump_clock):
    async with clustered(*AB) as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-a"))
        with a.journal.holding() as held:
            a.do(battle)
            await held.arrived.wait()
            cluster.nursery.start_soon(a.core.catalog.hand_over, battle, "node-b")
            await trio.sleep(0.1)
            waiting = [cluster[name].do(battle) for name in AB for _ in range(5)]
            await trio.sleep(0.1)
            assert not any(each.answered for each in waiting)
        assert all(isinstance(answer, Accepted) for answer in await answers(waiting))
        assert cluster.holders(battle) == ["node-b"]
        assert await a.done(battle) == ["hit"] * 11


async def test_what_a_client_sends_during_a_hand_over_is_not_overtaken_by_what_it_sends_next(autojump_clock):
    """The giver is slow to pass on what waited; meanwhile the sender hears of the new owner, and goes there itself."""
    async with clustered(*AB) as cluster:
        b, taken = cluster["node-b"], set()
        while place(battle := id_placed("node-b", AB, taken), ABC) != "node-c":
            taken.add(battle)
        await cluster.battle(battle)
        c = await cluster.start("node-c")
        await trio.sleep(1)
        ann = await cluster["node-a"].watcher(battle, "ann")
        await ann.answer(ann.do(battle))
        cluster.hub.rule = lambda sender, to, _items: 0.3 if (sender, to) == ("node-b", "node-c") else 0.0
        with b.journal.holding() as held:
            b.do(battle)
            await held.arrived.wait()
            cluster.nursery.start_soon(gives, b, battle, "node-c")
            await trio.sleep(0.01)
            first = ann.do(battle)
            await trio.sleep(0.01)
        await trio.sleep(0.01)
        assert isinstance(await c.do(battle).answer(), Accepted)
        second = ann.do(battle)
        answers_to_ann = [await ann.answer(number) for number in (first, second)]
        assert [answer["event"] for answer in answers_to_ann] == ["reply", "reply"], answers_to_ann
        cluster.hub.rule = lambda *_: 0.0


async def test_a_node_that_stops_says_goodbye(autojump_clock):
    async with clustered(*AB) as cluster:
        await cluster["node-b"].stop()
        assert cluster.hub.heard_items(Goodbye, sender="node-b", to="node-a")
        assert cluster["node-a"].sees()["node-b"] == "dead"


async def test_timers_go_on_at_the_new_owner(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        await cluster["node-a"].do(battle, "timer", ms=6_500).answer()
        await cluster.start("node-c")
        await trio.sleep(SETTLED_S)
        assert cluster.holders(battle) == ["node-c"]
        await trio.sleep(3.1)
        fired = (await cluster["node-a"].ask(battle, Show())).view["play"]["fired"]
        assert len(fired) == 1
        assert fired[0] < 100


async def test_a_timer_that_was_set_while_the_hand_over_waited_goes_on_at_the_new_owner(autojump_clock):
    async with clustered(*AB) as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-a"))
        await trio.sleep(1)
        with a.journal.holding() as held:
            set_it = a.do(battle, "timer", ms=2_000)
            cluster.nursery.start_soon(gives, a, battle, "node-b")
            await held.arrived.wait()
        assert isinstance(await set_it.answer(), Accepted)
        await trio.sleep(2.1)
        fired = (await a.ask(battle, Show())).view["play"]["fired"]
        assert fired
        assert fired[0] < 100


async def test_nodes_whose_views_differ_do_not_push_actors_to_and_fro(autojump_clock):
    """Each of the two thinks that it is alone with a third one, which is not there."""
    async with clustered(*AB) as cluster:
        battles = [await cluster.battle(cluster.id_on(name)) for name in AB for _ in range(3)]
        ghost = NodeInfo("node-z", "1", ("actors",), True, "", "", "", cluster["node-a"].core.kinds.rules)
        epochs = {battle: cluster.store.epoch(battle) for battle in battles}
        for _ in range(10):  # the one sees it, the other does not
            await cluster["node-a"].directory.meet(ghost)
            cluster["node-b"].directory.away = True
            await play_on(cluster, battles[0], AB, 1)
        await trio.sleep(SETTLED_S)
        assert all(cluster.store.epoch(battle) <= epochs[battle] + 2 for battle in battles)
        cluster["node-b"].directory.away = False


async def test_a_view_that_changes_all_the_time_moves_nothing_before_it_stands_still(autojump_clock):
    async with clustered(*AB) as cluster:
        battle = await cluster.battle(moving(cluster))
        for number in range(4):
            await cluster.start("node-c")
            await trio.sleep(1)
            assert cluster.holders(battle) != ["node-c"], number
            await cluster["node-c"].kill(lease_ends=True)
            await trio.sleep(2.6)
        counts = await play_on(cluster, battle, AB, 1)
        await ran_once(cluster, battle, counts)


async def test_many_actors_are_handed_over_a_few_at_a_time(autojump_clock):
    async with clustered(*AB, cluster={"hand_over_limit": 3}) as cluster:
        battles = [await cluster.battle(moving(cluster)) for _ in range(30)]
        at_once, most = set(), []
        for node in cluster.living:
            node.core.catalog.hand_over = counting(node.core.catalog.hand_over, at_once, most)
            node.storage.latency_s = 0.05
        await cluster.start("node-c")
        await trio.sleep(SETTLED_S + 2)
        for node in cluster.living:
            node.storage.latency_s = 0
        assert {place(battle, ABC) for battle in battles} == {"node-c"}
        assert not any(cluster[name].holds(battle) for name in AB for battle in battles)
        assert 1 < max(most) <= 6, "three for each of the two"


def counting(hand_over, at_once, most):
    async def counted(actor_id, to):
        at_once.add(actor_id)
        most.append(len(at_once))
        try:
            return await hand_over(actor_id, to)
        finally:
            at_once.discard(actor_id)

    return counted


async def test_what_the_journal_has_sent_to_the_giver_goes_on_to_the_taker(autojump_clock):
    """The taker asks the journal first, which still names the giver; there it waits while the actor is given away."""
    async with clustered(*AB) as cluster:
        a, b, answers = cluster["node-a"], cluster["node-b"], []
        battle = await cluster.battle(cluster.id_on("node-a"))
        with a.journal.holding() as held:
            first = a.do(battle)
            await held.arrived.wait()
            cluster.nursery.start_soon(a.core.catalog.hand_over, battle, "node-b")
            message = Message(battle, Show(), answers.append, trio.current_time() + 5)
            b.cluster.requests.ask("node-a", message, named=True)
            await trio.sleep(0.1)
        assert isinstance(await first.answer(), Accepted)
        await cluster.settle()
        assert [type(answer) for answer in answers] == [Shown]
        assert cluster.holders(battle) == ["node-b"]
