"""When a commit does not land: who is dropped, what they are told, and what is true afterwards."""

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted, Shown
from gameserver.errors import OutcomeUnknown, Refused, StorageUnavailable
from tests.actors.node import T0, answers, codes, running


def take_over(node, actor_id):
    """What another node's activation does to the row."""
    stored = node.store.actors[actor_id]
    stored.epoch += 1
    stored.owner = "node-b"
    node.store.live.add("node-b")


async def test_one_of_three_is_overtaken_and_the_other_two_land(autojump_clock):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(3)]
        with node.journal.holding() as held:
            first = [node.do(battle) for battle in battles]
            await held.arrived.wait()
            queued = [node.do(battle) for battle in battles]
            await wait_all_tasks_blocked()
            take_over(node, battles[1])
        lucky, overtaken, also_lucky = await answers(first)
        assert isinstance(lucky, Accepted)
        assert isinstance(also_lucky, Accepted)
        assert (overtaken.code, overtaken.retryable) == ("actor_restarting", True)
        assert [isinstance(answer, Accepted) for answer in await answers(queued)] == [True, False, True]
        assert {entry.actor_id for entry in node.journal.appends[-1]} == {battles[0], battles[2]}
        assert await node.do(battles[1]).code() == "owner_unreachable"


async def test_both_batches_of_an_actor_die_when_the_first_fails(autojump_clock):
    async with running() as node:
        battle, other = await node.battle("battle-1"), await node.battle("battle-2")
        with node.journal.holding() as held:
            first = node.do(battle)
            await held.arrived.wait()
            second, bystander = node.do(battle), node.do(other)
            await wait_all_tasks_blocked()
            node.journal.poison(lambda entry: entry.actor_id == battle)
        assert await codes([first, second]) == ["commit_rejected", "actor_restarting"]
        assert isinstance(await bystander.answer(), Accepted)
        assert [entry.actor_id for entry in node.journal.appends[-1]] == [other]
        node.journal.poison(lambda entry: False)
        assert await node.done(battle) == []


async def test_what_queued_behind_a_failed_commit_is_never_written_or_seen(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            first = node.do(battle, number=1)
            await held.arrived.wait()
            second, read, retry = node.do(battle, number=2), node.tell(battle, Show()), node.do(battle, number=1)
            await wait_all_tasks_blocked()
            node.store.actors[battle].epoch += 1
        assert await codes([first, second, read, retry]) == ["actor_restarting"] * 4
        assert await node.done(battle) == []
        assert isinstance(await node.do(battle, number=1).answer(), Accepted)


async def test_a_message_that_woke_the_actor_just_before_it_was_dropped_sees_nothing_of_the_lost_state(autojump_clock):
    """The retry and the read come in at the very moment at which the commit is known to be lost."""
    async with running() as node:
        battle = await node.battle()
        late = []

        def come_in(_):
            late.extend([node.do(battle, number=1), node.tell(battle, Show()), node.do(battle, "refuse", number=2)])

        node.journal.fail_next(OutcomeUnknown("lost"))
        first = node.do(battle, number=1)
        first.then = come_in
        assert await first.code() == "outcome_unknown"
        accepted, shown, refused = await answers(late)
        assert isinstance(accepted, Accepted)
        assert shown.view["play"]["done"] == ["hit"]
        assert refused.code == "nasty_refusal"
        assert node.store.actors[battle].last_seq == accepted.seq


async def test_a_poisonous_entry_is_found_among_good_ones_and_dropped_alone(autojump_clock):
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(7)]
        node.journal.poison(lambda entry: entry.actor_id == battles[4])
        hits = await answers([node.do(battle) for battle in battles])
        assert [isinstance(answer, Accepted) for answer in hits] == [True] * 4 + [False] + [True] * 2
        assert (hits[4].code, hits[4].retryable) == ("commit_rejected", False)
        node.journal.poison(lambda entry: False)
        assert isinstance(await node.do(battles[4]).answer(), Accepted)
        assert await node.done(battles[4]) == ["hit"]


async def test_while_halves_are_written_the_timer_of_an_entry_stays_its_own(autojump_clock):
    """The actor goes on while its entry is tried again: what it plans meanwhile is not written with older events."""
    async with running() as node:
        battles = [await node.battle(f"battle-{number}") for number in range(2)]
        node.journal.poison(lambda entry: entry.actor_id == battles[0])
        with node.journal.holding() as held:
            node.do(battles[0])
            node.do(battles[1])
            await held.arrived.wait()
            timer = node.do(battles[1], "timer", ms=60_000)
            await wait_all_tasks_blocked()
        await timer.answer()
        own = [entry for entries in node.journal.appends for entry in entries if entry.actor_id == battles[1]]
        assert [entry.wake_at_ms for entry in own[-3:-1]] == [None, None]
        assert own[-1].wake_at_ms == T0 + 60_000


@pytest.mark.parametrize("lands", [True, False])
async def test_an_unknown_outcome_is_never_sent_again_and_the_retry_gets_the_right_answer(autojump_clock, lands):
    async with running() as node:
        battle = await node.battle()
        lost = node.journal.lose_next(lands=lands)
        first = node.do(battle, number=7)
        answer = await first.answer()
        assert isinstance(answer, Refused)
        assert (answer.code, answer.retryable) == ("outcome_unknown", True)
        appends, epoch = len(node.journal.appends), node.store.actors[battle].epoch
        await trio.sleep(5)
        assert len(node.journal.appends) == appends
        retried = await node.do(battle, number=7).answer()
        assert retried.seq == lost.entries[0].row.seq
        assert node.store.actors[battle].epoch == epoch + 1
        assert len(node.journal.appends) == appends + (0 if lands else 1)
        assert await node.done(battle) == ["hit"]


async def test_a_lost_statement_that_comes_after_the_next_activation_is_fenced(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        lost = node.journal.lose_next(lands=False)
        assert await node.do(battle, number=1).code() == "outcome_unknown"
        await node.show(battle)
        assert lost.land() == frozenset()
        assert await node.done(battle) == []


async def test_a_crash_reroll_gives_the_same_dice(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        lost = node.journal.lose_next(lands=False)
        await node.do(battle, number=1).answer()
        first = lost.entries[0].row.public
        await node.do(battle, number=1).answer()
        again = node.journal.appends[-1][0].row.public
        roll = [line.split(b'"roll":')[1].split(b",")[0] for line in (first, again)]
        assert roll[0] == roll[1]


async def test_storage_that_is_away_for_a_while_delays_and_no_more(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        for _ in range(10):
            node.journal.fail_next(StorageUnavailable("away"))
        hit = node.do(battle)
        assert isinstance(await hit.answer(), Accepted)
        assert await node.done(battle) == ["hit"]


async def test_storage_that_is_away_for_too_long_refuses(autojump_clock):
    async with running(postgres={"commit_deadline_ms": 1_000}) as node:
        battle = await node.battle()
        for _ in range(50):
            node.journal.fail_next(StorageUnavailable("away"))
        hit, read = node.do(battle, number=1), node.tell(battle, Show())
        assert await codes([hit, read]) == ["storage_unavailable"] * 2
        assert 1 <= trio.current_time() < 2
        node.journal._next.clear()
        assert isinstance(await node.do(battle, number=1).answer(), Accepted)


async def test_an_outage_is_waited_for_and_logged_once_and_not_by_every_command(autojump_clock):
    async with running(postgres={"commit_deadline_ms": 1_000}) as node:
        battle = await node.battle()
        for _ in range(50):
            node.journal.fail_next(StorageUnavailable("away"))
        with capture_logs() as logged:
            assert await node.do(battle, number=1).code() == "storage_unavailable"
            since = trio.current_time()
            for _ in range(10):
                assert await node.do(battle, number=1).code() == "storage_unavailable"
            assert trio.current_time() == since
        assert [line["event"] for line in logged].count("commit.storage_unavailable") == 1
        node.journal._next.clear()
        assert isinstance(await node.do(battle, number=1).answer(), Accepted)
        node.journal.fail_next(StorageUnavailable("away again"))
        assert isinstance(await node.do(battle, number=2).answer(), Accepted), (
            "the next outage has a deadline of its own"
        )


async def test_a_bug_of_the_journal_counts_as_an_unknown_outcome(autojump_clock, monkeypatch):
    async with running() as node:
        battle = await node.battle()
        node.journal._next.append(None)
        with monkeypatch.context() as patch:
            patch.setattr(type(node.journal.store), "apply", lambda *_: 1 / 0)
            assert await node.do(battle, number=1).code() == "outcome_unknown"
        assert isinstance(await node.do(battle, number=1).answer(), Accepted)


async def test_two_nodes_take_turns_and_never_both_write(autojump_clock):
    async with running(name="node-a") as a:
        battle = await a.battle()
        await a.do(battle, number=1).answer()
        async with running(a.store, "node-b") as b:
            assert await b.do(battle, number=2).code() == "owner_unreachable"
            with a.journal.holding() as held:
                lost = a.do(battle, number=3)
                await held.arrived.wait()
                a.store.live.discard("node-a")
                taken = await b.do(battle, number=2).answer()
            assert await lost.code() == "actor_restarting"
            a.store.live.add("node-a")
            assert await a.do(battle, number=3).code() == "owner_unreachable"
            assert (await b.do(battle, number=1).answer()).seq == taken.seq - 1
            b.store.live.add("node-b")
        assert isinstance(await a.show(battle), Shown)
