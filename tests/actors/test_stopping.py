"""An orderly stop: everything in flight lands, everybody is released, and nobody is left without a reply."""

import trio
import trio.lowlevel

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted
from tests.actors.node import answers, codes, running


async def test_a_stop_lets_everything_land_and_releases_all_with_a_snapshot(autojump_clock):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(5)]
        node.journal.latency_s = 0.3
        asked = [node.do(battle) for battle in battles for _ in range(3)]
        await node.catalog.stop()
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        for battle in battles:
            stored = node.store.actors[battle]
            assert stored.owner is None
            assert stored.snapshot.seq == stored.last_seq


async def test_a_stop_brings_nobody_back_however_slow_the_storage_is(autojump_clock):
    async with running() as node:
        for number in range(5):
            await node.battle(f"battle-{number}")
        activated = node.catalog.counters.activated
        node.journal.latency_s = 2
        await node.catalog.stop()
        assert node.catalog.counters.activated == activated


async def test_who_comes_after_the_stop_began_is_sent_away(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            hit = node.do(battle)
            await held.arrived.wait()
            node.nursery.start_soon(node.catalog.stop)
            await trio.sleep(0.1)
            assert await node.do(battle).code() == "node_stopping"
            assert not hit.answered
        assert isinstance(await hit.answer(), Accepted)


async def test_a_stop_while_an_actor_crashes_leaves_nobody_without_a_reply(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        crash, behind = node.do(battle, "raise in apply"), node.tell(battle, Show())
        await crash.answer()
        await node.catalog.stop()
        assert behind.answered


async def test_a_lost_lease_ends_every_life_at_once(autojump_clock):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(3)]
        with node.journal.holding() as held:
            on_the_way = node.do(battles[0])
            await held.arrived.wait()
            queued = [node.do(battle) for battle in battles]
            await trio.testing.wait_all_tasks_blocked()
            node.catalog.drop_all()
            assert await codes(queued) == ["actor_restarting"] * 3
            await trio.testing.wait_all_tasks_blocked()
            assert node.catalog.active == 0
        assert isinstance(await on_the_way.answer(), Accepted)
        assert [len(await node.done(battle)) for battle in battles] == [1, 0, 0]


async def test_a_node_that_dies_leaves_nobody_waiting_in_its_own_process(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            asked = [node.do(battle)]
            await held.arrived.wait()
            asked += [node.do(battle), node.tell(battle, Show())]
            await trio.testing.wait_all_tasks_blocked()
            node.kill()
            await trio.lowlevel.checkpoint()
    assert all(each.answered for each in asked)


async def test_a_lease_that_is_lost_when_all_have_gone_harms_nobody(autojump_clock):
    async with running() as node:
        await node.battle()
        await node.catalog.stop()
        for _ in range(10):
            node.catalog.drop_all()
            await trio.lowlevel.checkpoint()
