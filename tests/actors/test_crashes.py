"""A rule that raises harms its command; a broken state harms its actor; nobody else notices."""

import pytest
import trio

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted, Shown
from tests.actors.nasty import Faults
from tests.actors.node import answers, codes, running

REFUSED_BY_THE_RULES = ["raise in decide", "give nothing back", "give an unknown event", "give no plain data"]
BREAKS_THE_STATE = ["raise in apply", "refuse in apply", "raise in result", "twice"]


@pytest.fixture
def bad_folding():
    Faults.folding = True
    yield
    Faults.folding = False


@pytest.mark.parametrize("what", REFUSED_BY_THE_RULES)
async def test_rules_that_raise_refuse_the_command_and_change_nothing(autojump_clock, what):
    async with running() as node:
        battle = await node.battle()
        last_seq = node.store.actors[battle].last_seq
        assert await codes([node.do(battle, what), node.do(battle, what)]) == ["rules_failed", "rules_failed"]
        assert (node.store.actors[battle].last_seq, node.catalog.counters.crashed) == (last_seq, 0)
        assert isinstance(await node.do(battle).answer(), Accepted)


async def test_a_view_that_raises_refuses_the_read(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle, "raise in view").answer()
        assert await node.tell(battle, Show()).code() == "rules_failed"
        assert isinstance(await node.do(battle).answer(), Accepted)
        assert node.catalog.counters.crashed == 0


async def test_events_may_come_from_a_generator(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle, "generate").answer()
        assert await node.done(battle) == ["hit", "hit"]


@pytest.mark.parametrize("what", BREAKS_THE_STATE)
async def test_an_actor_that_crashes_comes_back_with_the_committed_state(autojump_clock, what):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle).answer()
        seq = (await node.show(battle)).seq
        assert await node.do(battle, what).code() == "actor_restarting"
        shown = await node.show(battle)
        assert (shown.view["play"]["done"], shown.seq) == (["hit"], seq)
        assert node.catalog.counters.crashed == 1


async def test_callers_in_the_same_turn_may_retry_and_messages_behind_are_served(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        before = [node.do(battle, number=1), node.tell(battle, Show())]
        crash = node.do(battle, "raise in apply", number=2)
        behind = [node.do(battle, number=3), node.tell(battle, Show())]
        assert await codes([*before, crash]) == ["actor_restarting"] * 3
        accepted, shown = await answers(behind)
        assert isinstance(accepted, Accepted)
        assert shown.view["play"]["done"] == ["hit"]
        assert node.committer.events_waiting == 0


async def test_what_was_on_its_way_lands_although_its_actor_crashes_meanwhile(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            hit = node.do(battle)
            await held.arrived.wait()
            crash = node.do(battle, "raise in apply")
            assert await crash.code() == "actor_restarting"
            assert not hit.answered
        assert isinstance(await hit.answer(), Accepted)
        assert await node.done(battle) == ["hit"]


async def test_the_pause_before_the_next_life_doubles(autojump_clock):
    async with running(actors={"restart_intensity": 5, "restart_backoff_max_ms": 300}) as node:
        battle = await node.battle()
        pauses = []
        for _ in range(4):
            assert await node.do(battle, "raise in apply").code() == "actor_restarting"
            crashed_at = trio.current_time()
            await node.show(battle)
            pauses.append(round(trio.current_time() - crashed_at, 3))
        assert pauses == [0.1, 0.2, 0.3, 0.3]


async def test_an_actor_that_keeps_crashing_is_set_aside_and_the_others_do_not_notice(autojump_clock):
    async with running() as node:
        bad, good = await node.battle("battle-1"), await node.battle("battle-2")
        crashes = [node.do(bad, "raise in apply") for _ in range(6)]
        hits = [node.do(good) for _ in range(6)]
        assert all(isinstance(answer, Accepted) for answer in await answers(hits))
        assert await codes(crashes) == ["actor_restarting"] * 4 + ["actor_set_aside"] * 2
        assert node.store.actors[bad].set_aside is not None
        assert await node.do(bad).code() == "actor_set_aside"
        assert node.catalog.counters.set_aside == 1


async def test_one_that_was_let_back_goes_on(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        await codes([node.do(battle, "raise in apply") for _ in range(4)])
        assert await node.do(battle).code() == "actor_set_aside"
        assert await node.journal.let_back(battle)
        assert isinstance(await node.do(battle).answer(), Accepted)


async def test_crashes_further_apart_than_the_period_are_forgiven(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        for _ in range(8):
            assert await node.do(battle, "raise in apply").code() == "actor_restarting"
            await trio.sleep(4)
        assert isinstance(await node.show(battle), Shown)


@pytest.mark.parametrize("what", ["fold badly", "refuse to fold"])
async def test_a_journal_that_cannot_be_folded_sets_its_actor_aside(autojump_clock, bad_folding, what):
    async with running(actors={"idle_ms": 1_000}) as node:
        battle, other = await node.battle("battle-1"), await node.battle("battle-2")
        Faults.folding = False
        await node.do(battle, what).answer()
        await trio.sleep(10)
        node.store.actors[battle].snapshot = None
        Faults.folding = True
        waiting = node.do(battle)
        assert isinstance(await node.show(other), Shown)
        assert await waiting.code() == "actor_set_aside"
        Faults.folding = False


async def test_storage_that_is_away_when_an_actor_shall_be_set_aside_is_no_disaster(autojump_clock, monkeypatch):
    from gameserver.errors import StorageUnavailable
    from tests.contracts.memory_journal import MemoryJournal

    async def away(*_):
        raise StorageUnavailable("away")

    async with running() as node:
        battle = await node.battle()
        with monkeypatch.context() as patch:
            patch.setattr(MemoryJournal, "set_aside", away)
            crashes = [node.do(battle, "raise in apply") for _ in range(5)]
            assert await codes(crashes) == ["actor_restarting"] * 4 + ["storage_unavailable"]
        assert isinstance(await node.do(battle).answer(), Accepted)


async def test_who_is_overtaken_while_it_is_restored_has_not_crashed(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        node.kill()
    async with running(node.store, "node-b") as slow, running(node.store, "node-c") as quick:
        slow.journal.latency_s = 1
        asked = slow.do(battle)
        await trio.sleep(1.5)  # it owns the battle, and has not read it yet
        slow.store.live.discard("node-b")
        assert isinstance(await quick.do(battle, number=7).answer(), Accepted)
        assert await asked.code() == "actor_restarting"
        assert slow.catalog.counters.crashed == 0
