"""Timers are state: they fire once, survive their node, and say how late they are."""

import trio

from gameserver.actors.messages import Birth, Show
from gameserver.game.commands import CreateBattle
from tests.actors.node import T0, running

SOON = {"idle_ms": 2_000, "sweep_interval_ms": 500}


async def finished(node, battle):
    return (await node.show(battle)).view


async def fired(node, battle):
    return (await node.show(battle)).view["play"]["fired"]


async def test_a_timer_fires_once_and_in_time(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle, "timer", ms=30_000).answer()
        await trio.sleep(29.9)
        assert await fired(node, battle) == []
        await trio.sleep(0.2)
        assert len(await fired(node, battle)) == 1
        assert (await fired(node, battle))[0] <= 2
        await trio.sleep(300)
        assert len(await fired(node, battle)) == 1


async def test_a_timer_that_moves_fires_at_its_new_time_only(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle, "timer", ms=30_000).answer()
        await node.do(battle, "timer", ms=10_000).answer()
        await node.do(battle, "timer", ms=60_000).answer()
        await trio.sleep(59.9)
        assert await fired(node, battle) == []
        await trio.sleep(0.2)
        assert len(await fired(node, battle)) == 1


async def test_a_battle_that_nobody_begins_expires(autojump_clock):
    async with running(guards={"pending_expires_ms": 120_000}) as node:
        await node.groups()
        create = CreateBattle("battle-1", "wolves", "bears", "classic", "ann", "attacker")
        await node.ask("battle-1", create, birth=Birth("battle", "classic"))
        await trio.sleep(121)
        shown = await node.ask("battle-1", Show())
        assert (shown.view["state"], shown.view["winner"]) == ("finished", None)


async def test_a_battle_whose_time_is_up_finishes_with_one_score(autojump_clock):
    async with running() as node:
        battle = await node.battle(mode="classic")
        assert node.store.actors[battle].wake_at_ms == T0 + 180_000
        await trio.sleep(181)
        assert (await finished(node, battle))["state"] == "finished"
        assert len(node.store.projections["battle_scores"]) == 1
        assert [row.topic for actor, row in node.store.outbox if actor == battle] == [
            "battle:created",
            "battle:finished",
        ]
        assert node.store.actors[battle].wake_at_ms is None


async def test_a_timer_that_is_overdue_after_a_restart_fires_once_late_and_says_so(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle, "timer", ms=10_000).answer()
        node.kill()
    await trio.sleep(60)
    async with running(node.store, "node-b") as other:
        await trio.sleep(2)
        late = await fired(other, battle)
        assert len(late) == 1
        assert 50_000 <= late[0] <= 52_000


async def test_the_sweeper_wakes_who_is_not_in_memory(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        await node.do(battle, "timer", ms=60_000).answer()
        await trio.sleep(10)
        assert not node.loaded(battle)
        await trio.sleep(51)
        late = await fired(node, battle)
        assert len(late) == 1
        assert late[0] <= 1_000


async def test_a_timer_survives_a_commit_that_was_lost(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        await node.do(battle, "timer", ms=10_000).answer()
        node.journal.lose_next(lands=False)
        await node.do(battle).answer()
        await trio.sleep(11)
        assert len(await fired(node, battle)) == 1


async def test_a_timer_that_rings_when_the_mailbox_is_full_rings_again(autojump_clock):
    async with running(
        actors={"mailbox_limit": 3, "restart_backoff_ms": 20_000, "restart_backoff_max_ms": 20_000}
    ) as node:
        battle = await node.battle()
        await node.do(battle, "timer", ms=10_000).answer()
        await node.do(battle, "raise in apply").answer()
        waiting = [node.tell(battle, Show()) for _ in range(3)]
        await trio.sleep(19)
        assert not any(asked.answered for asked in waiting)
        await trio.sleep(5)
        assert len(await fired(node, battle)) == 1
