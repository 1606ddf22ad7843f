"""Every queue is bounded; what does not fit is refused at once, and can be tried again."""

import trio

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted
from tests.actors.node import answers, codes, running


async def test_a_full_mailbox_refuses_at_once(autojump_clock):
    async with running(actors={"mailbox_limit": 5}) as node:
        battle = await node.battle()
        asked = [node.do(battle) for _ in range(8)]
        assert [each.answered for each in asked] == [False] * 5 + [True] * 3
        assert await codes(asked[5:]) == ["overloaded"] * 3
        assert all(isinstance(answer, Accepted) for answer in await answers(asked[:5]))
        assert node.catalog.counters.refused_overloaded == 3


async def test_too_many_events_waiting_for_a_commit_refuse_the_next_command(autojump_clock):
    async with running(journal={"pending_limit": 5}) as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            asked = [node.do(battle) for _ in range(5)]
            await held.arrived.wait()
            assert await node.tell("battle-unknown", Show()).code() == "overloaded"
            assert not node.loaded("battle-unknown")
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        assert isinstance(await node.do(battle).answer(), Accepted)


async def test_too_many_actors_in_memory_refuse_one_more(autojump_clock):
    async with running(actors={"active_limit": 3}) as node:
        battle = await node.battle()
        assert await node.tell("battle-2", Show()).code() == "overloaded"
        assert isinstance(await node.do(battle).answer(), Accepted)


async def test_an_expired_command_is_refused_and_not_run(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        assert await node.do(battle, "raise in apply").code() == "actor_restarting"
        late = node.tell(battle, Show(), within_s=0.05)
        assert await late.code() == "deadline_exceeded"
        assert round(late.answered_at - trio.current_time(), 3) == 0


async def test_an_actor_that_nobody_created_is_not_found(autojump_clock):
    async with running() as node:
        assert await node.tell("nowhere", Show()).code() == "battle_not_found"
        assert await node.tell("nowhere", Show("group")).code() == "group_not_found"
        await node.groups()
        assert await node.tell("wolves", Show("battle")).code() == "battle_not_found"
        await node.settle()
        assert not node.loaded("nowhere")


async def test_rules_that_this_node_does_not_know_are_not_guessed_at(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        node.store.actors[battle].rules_version = 2
        assert await node.do(battle, "raise in apply").code() == "actor_restarting"
        assert await node.do(battle).code() == "rules_version_unknown"
        assert node.store.actors[battle].owner is None
        node.store.actors[battle].rules_version = 1
        assert isinstance(await node.do(battle).answer(), Accepted)
