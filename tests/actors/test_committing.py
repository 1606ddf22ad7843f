"""Nothing leaves before its commit; and one statement carries what gathered while the last one ran."""

import trio
from trio.testing import wait_all_tasks_blocked

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted, Shown
from gameserver.errors import Refused
from tests.actors.node import answers, running


async def test_a_reply_and_an_event_wait_for_the_commit_that_covers_them(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        seen = len(node.audience.batches)
        with node.journal.holding() as held:
            hit = node.do(battle)
            await held.arrived.wait()
            await trio.sleep(1)
            assert not hit.answered
            assert len(node.audience.batches) == seen
        assert isinstance(await hit.answer(), Accepted)
        assert len(node.audience.batches) == seen + 1


async def test_reads_refusals_and_retries_wait_for_what_they_saw(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            hit = node.do(battle, number=1)
            await held.arrived.wait()
            others = [node.tell(battle, Show()), node.do(battle, "refuse", number=2), node.do(battle, number=1)]
            await trio.sleep(1)
            assert not any(asked.answered for asked in (hit, *others))
        read, refused, retried = await answers(others)
        assert read.view["play"]["done"] == ["hit"]
        assert refused.code == "nasty_refusal"
        assert retried.seq == (await hit.answer()).seq == read.seq


async def test_a_read_shows_nothing_of_what_was_decided_after_it(autojump_clock):
    """It leaves with its commit, while the next one is on its way with what the state has become by then."""
    async with running() as node:
        battle = await node.battle()
        with node.journal.holding() as first:
            hit, read = node.do(battle, number=1), node.tell(battle, Show())
            await first.arrived.wait()
            later = node.do(battle, number=2)
            await wait_all_tasks_blocked()
        assert (await read.answer()).view["play"]["done"] == ["hit"]
        await answers([hit, later])


async def test_reads_of_an_actor_with_nothing_in_flight_are_answered_without_a_statement(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        appends = len(node.journal.appends)
        assert isinstance(await node.show(battle), Shown)
        assert isinstance(await node.do(battle, "refuse").answer(), Refused)
        assert len(node.journal.appends) == appends


async def test_a_lone_command_commits_at_once(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        before = trio.current_time()
        await node.do(battle).answer()
        assert trio.current_time() == before


async def test_one_statement_carries_what_gathered_for_many_actors_meanwhile(autojump_clock):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(5)]
        appends = len(node.journal.appends)
        with node.journal.holding() as held:
            node.do(battles[0])
            await held.arrived.wait()
            asked = [node.do(battle) for battle in battles for _ in range(3)]
            await wait_all_tasks_blocked()
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        assert len(node.journal.appends) == appends + 2
        assert [len(entries) for entries in node.journal.appends[-2:]] == [1, 5]
        assert node.committer.counters.largest_batch >= 15


async def test_a_commit_takes_no_more_events_than_the_limit(autojump_clock):
    async with running(journal={"batch_limit": 3}) as node:
        battles = [await node.battle(f"battle-{number}") for number in range(6)]
        with node.journal.holding() as held:
            node.do(battles[0])
            await held.arrived.wait()
            asked = [node.do(battle) for battle in battles]
            await wait_all_tasks_blocked()
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        assert [len(entries) for entries in node.journal.appends[-2:]] == [3, 3]


async def test_all_that_one_commit_caused_is_flushed_once(autojump_clock):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(5)]
        flushes = node.audience.flushes
        await answers([node.do(battle) for battle in battles])
        await node.settle()
        assert node.audience.flushes <= flushes + 2


async def test_a_reply_that_raises_takes_nothing_from_the_others(autojump_clock):
    async with running() as node:
        battle = await node.battle()

        def broken(_):
            raise RuntimeError("a reply must not do this")

        first = node.do(battle)
        first.then = broken
        second = node.do(battle)
        assert isinstance(await second.answer(), Accepted)
        assert node.audience.seqs(battle)[-1] == second.answers[0].seq
