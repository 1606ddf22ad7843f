"""Rules that think for ever: the time limit in the main thread, where pytest runs, and actors under it."""
# ruff: noqa: BLE001, SIM105 - what these rules swallow is the point

import re
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs

from gameserver.actors import activation
from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted, History
from gameserver.actors.time_limit import POKE, TIMER, RulesOverran, RulesTooSlow, enforced, time_limit
from tests.actors import nasty
from tests.actors.node import answers, codes, running

LIMIT_MS = 30


@pytest.fixture
def limited():
    with enforced(LIMIT_MS):
        yield time_limit()


# -- rules that will not end -------------------------------------------------------------------------------------------


def for_ever(*_):
    while True:
        pass


def work():
    for _ in range(100):
        len(())


def swallow_exceptions(*_):
    while True:
        try:
            work()
        except Exception:
            pass


def swallow_everything(*_):
    while True:
        try:
            work()
        except BaseException:
            pass


def swallow_on_all_levels(*_):
    while True:
        try:
            while True:
                try:
                    swallow_everything()
                except BaseException:
                    work()
                finally:
                    work()
        except BaseException:
            work()


def never_yield(*_):
    swallow_everything()
    yield


def exhaust(*_):
    return max(never_yield())


def backtrack(*_):
    """C code that never lets the watchdog have the GIL."""
    re.match(r"(a+)+$", "a" * 30 + "b")


def sleep(*_):
    """Rules that block. Nobody waits that long, unless the watchdog fails."""
    time.sleep(30)


HUNG = [for_ever, swallow_exceptions, swallow_everything, swallow_on_all_levels, exhaust, backtrack, sleep]


@pytest.mark.parametrize("hung", HUNG)
def test_whatever_hangs_is_interrupted(limited, hung):
    for _ in range(3):
        with pytest.raises(RulesTooSlow):
            limited.call(hung)
    assert limited.call(len, "fast") == 4


def test_what_keeps_to_the_limit_may_raise_and_give_what_it_likes(limited):
    assert limited.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        limited.call(divmod, 7, 0)
    assert limited.inside == 0


def test_code_outside_of_any_call_may_take_as_long_as_it_likes(limited):
    until = time.monotonic() + LIMIT_MS * 5 / 1_000
    while time.monotonic() < until:
        signal.raise_signal(POKE)
        signal.raise_signal(TIMER)


def test_many_short_calls_are_not_taken_for_a_long_one(limited):
    until = time.monotonic() + LIMIT_MS * 5 / 1_000
    while time.monotonic() < until:
        limited.call(work)


def test_nothing_is_raised_outside_of_a_call_wherever_the_signal_hits(limited):
    """Calls of all lengths are condemned as soon as they begin, while signals rain on everything in and around them."""
    stopping, outcomes = threading.Event(), {"done": 0, "too slow": 0}
    main = threading.main_thread().ident

    def rain():
        while not stopping.is_set():
            limited.overrun = limited.inside
            signal.pthread_kill(main, POKE)

    thread = threading.Thread(target=rain)
    thread.start()
    try:
        until, length = time.monotonic() + 2, 0
        while time.monotonic() < until:
            length = (length + 1) % 50
            try:
                assert limited.call(sum, map(abs, range(length))) == sum(range(length))
                limited.call(lambda: [abs(number) for number in range(length)])  # noqa: B023 - called at once
                outcomes["done"] += 1
            except RulesTooSlow as error:
                assert isinstance(error.__cause__, RulesOverran)
                outcomes["too slow"] += 1
            assert limited.inside == 0
    finally:
        stopping.set()
        thread.join()
    assert all(outcomes.values()), outcomes


def test_handlers_and_timer_are_left_as_they_were():
    before = [signal.getsignal(number) for number in (POKE, TIMER)]
    with enforced(LIMIT_MS), pytest.raises(RulesTooSlow):
        time_limit().call(for_ever)
    assert [signal.getsignal(number) for number in (POKE, TIMER)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_in_another_thread_nothing_is_enforced_and_it_says_so():
    def live():
        with capture_logs() as logs, enforced(LIMIT_MS):
            seen.append((logs[0]["event"], time_limit().call(len, "abc")))
        assert time_limit() is not time_limit()

    seen = []
    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    assert seen == [("rules.no_time_limit", 3)]


# -- actors ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hung_rules(limited, monkeypatch):
    """The nasty mode, which hangs wherever a command names the place."""

    def decide(state, command, now, dice):
        if getattr(command, "what", "").startswith("decide"):
            return {"decide": for_ever, "decide stubbornly": swallow_everything, "decide lazily": never_yield}[
                command.what
            ]()
        return nasty.decide(state, command, now, dice)

    def apply(state, event):
        nasty.apply(state, event)
        if getattr(event, "what", "") == "apply" or (Folding.hangs and getattr(event, "what", "") == "fold"):
            for_ever()

    def asked(name):
        return lambda state: for_ever() if name in state.done else getattr(nasty.rules, name)(state)

    places = {name: asked(name) for name in ("view", "result", "deadline")}
    rules = evolve(nasty.rules, decide=decide, apply=apply, **places)
    monkeypatch.setattr("tests.actors.node.nasty", SimpleNamespace(rules=rules))
    monkeypatch.setattr(Folding, "hangs", False)
    return rules


class Folding:
    hangs = False


@pytest.mark.parametrize("what", ["decide", "decide stubbornly", "decide lazily"])
async def test_a_decision_that_hangs_refuses_its_command_and_changes_nothing(autojump_clock, hung_rules, what):
    async with running() as node:
        bad, good = await node.battle("battle-1"), await node.battle("battle-2")
        last_seq = node.store.actors[bad].last_seq
        hung, other = node.do(bad, what), node.do(good)
        assert await hung.code() == "rules_too_slow"
        assert isinstance(await other.answer(), Accepted)
        assert (node.store.actors[bad].last_seq, node.catalog.counters.crashed) == (last_seq, 0)
        assert isinstance(await node.do(bad).answer(), Accepted)


async def test_a_command_that_hangs_while_it_is_read_is_refused(autojump_clock, hung_rules, monkeypatch):
    async with running() as node:
        battle = await node.battle()
        with monkeypatch.context() as patch:
            patch.setattr("gameserver.protocol.commands.structure", for_ever)
            assert await node.do(battle, ms="as text").code() == "rules_too_slow"
        assert isinstance(await node.do(battle).answer(), Accepted)


async def test_a_view_that_hangs_refuses_the_read(autojump_clock, hung_rules):
    async with running() as node:
        battle = await node.battle()
        assert isinstance(await node.do(battle, "view").answer(), Accepted)
        assert await node.tell(battle, Show()).code() == "rules_too_slow"
        assert node.catalog.counters.crashed == 0


@pytest.mark.parametrize("what", ["apply", "result"])
async def test_what_hangs_after_the_decision_restores_the_actor(autojump_clock, hung_rules, what):
    async with running() as node:
        battle = await node.battle()
        await node.do(battle).answer()
        assert await node.do(battle, what).code() == "actor_restarting"
        assert await node.done(battle) == ["hit"]
        assert node.catalog.counters.crashed == 1


async def test_a_deadline_that_hangs_restores_the_actor_and_nobody_else_asks_for_it(autojump_clock, hung_rules):
    async with running(actors={"idle_ms": 1_000}) as node:
        battle, other = await node.battle("battle-1"), await node.battle("battle-2")
        assert await node.do(battle, "deadline").code() == "actor_restarting"
        assert await node.done(battle) == []
        await trio.sleep(10)
        assert isinstance(await node.do(other).answer(), Accepted)


async def test_one_that_keeps_hanging_is_set_aside_and_the_others_do_not_notice(autojump_clock, hung_rules):
    async with running() as node:
        bad, good = await node.battle("battle-1"), await node.battle("battle-2")
        crashes = [node.do(bad, "apply") for _ in range(6)]
        hits = [node.do(good) for _ in range(6)]
        assert await codes(crashes) == ["actor_restarting"] * 4 + ["actor_set_aside"] * 2
        assert all(isinstance(answer, Accepted) for answer in await answers(hits))
        assert node.store.actors[bad].set_aside is not None


async def test_a_journal_whose_fold_hangs_sets_its_actor_aside(autojump_clock, hung_rules, monkeypatch):
    async with running(actors={"idle_ms": 1_000}) as node:
        battle = await node.battle()
        await node.do(battle, "fold").answer()
        await trio.sleep(10)
        node.store.actors[battle].snapshot = None
        monkeypatch.setattr(Folding, "hangs", True)
        assert await node.do(battle).code() == "actor_set_aside"
        monkeypatch.setattr(Folding, "hangs", False)


# -- turns -------------------------------------------------------------------------------------------------------------


class Others:
    """How often others had a turn."""

    def __init__(self):
        self.turns = 0

    async def run(self):
        while True:
            self.turns += 1
            await trio.lowlevel.checkpoint()


async def test_a_long_journal_is_folded_in_turns_to_the_same_state(nursery, autojump_clock, monkeypatch):
    async with running() as node:
        battle = await node.battle()
        for _ in range(20):
            await trio.lowlevel.checkpoint()
            node.do(battle)
        await node.settle()
        stored = node.store.actors[battle]
        kind = node.kinds.find(stored.kind, stored.mode, stored.rules_version)
        history, others = History(None, stored.rows), Others()
        at_once = activation.fold(kind, history, node.settings.commands)
        monkeypatch.setattr("gameserver.turns.TURN_S", -1)
        nursery.start_soon(others.run)
        in_turns = await activation.fold_in_turns(kind, history, node.settings.commands)
        nursery.cancel_scope.cancel()
        assert others.turns >= at_once.seq >= 20
        states = {kind.encode_state(each.machine, each.outcomes, each.at_ms) for each in (at_once, in_turns)}
        assert (len(states), in_turns.seq) == (1, at_once.seq)


async def test_a_full_mailbox_is_worked_through_in_turns(autojump_clock, nursery, monkeypatch):
    monkeypatch.setattr("gameserver.actors.actor.TURN_S", 0)
    monkeypatch.setattr("gameserver.actors.actor.trio_clock", Ticking)
    async with running() as node:
        battle, others = await node.battle(), Others()
        asked = [node.do(battle) for _ in range(30)]
        nursery.start_soon(others.run)
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        nursery.cancel_scope.cancel()
        assert others.turns >= 30


class Ticking:
    """A clock on which time passes also while an actor works."""

    def __init__(self):
        self.ticks = 0

    def __call__(self):
        self.ticks += 1
        return trio.current_time() + self.ticks / 1_000_000
