"""A test of the tests: bugs are planted, and the checker whose promise they break finds them within a few seeds."""

import pytest

from gameserver.actors.actor import Actor
from gameserver.actors.messages import Play
from gameserver.actors.outcomes import Outcomes
from gameserver.cluster.watches import Watches
from gameserver.errors import Refused
from gameserver.game.battle import Battle
from tests.contracts.memory_journal import MemoryStore
from tests.simulation.run import explained, prove, run

SEEDS = range(12)


def skip_the_fence(monkeypatch):
    """PostgreSQL's commit statement has it; here its stand-in does."""
    monkeypatch.setattr(MemoryStore, "_fits", lambda store, entry: entry.actor_id in store.actors)


def acknowledge_before_the_commit(monkeypatch):
    wait_for_it = Actor._handle

    def handle(actor, message):
        if not isinstance(message.command, Play):
            wait_for_it(actor, message)
            return
        pending = actor._around.committer.pending(actor)
        try:
            message.reply(actor._answer(message, pending))
        except Refused as refused:
            message.reply(refused)

    monkeypatch.setattr(Actor, "_handle", handle)


def forget_a_command_id(monkeypatch):
    monkeypatch.setattr(Outcomes, "find", lambda outcomes, identity: None)


def drop_the_gap_check(monkeypatch):
    def fill_in(watches, watch):
        watch.position = watch.behind

    monkeypatch.setattr(Watches, "_fill_in", fill_in)


def double_a_timer(monkeypatch):
    time_up = Battle._time_up
    monkeypatch.setattr(Battle, "_time_up", lambda *asked: [*time_up(*asked), *time_up(*asked)])


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (skip_the_fence, "SingleWriter"),
        (acknowledge_before_the_commit, "AcknowledgedIsDurable"),
        (forget_a_command_id, "OncePerCommand"),
        (drop_the_gap_check, "Streams"),
        (double_a_timer, "Timers"),
    ],
)
def test_a_planted_bug_is_found_by_the_checker_of_the_promise_that_it_breaks(plant, promise, monkeypatch):
    plant(monkeypatch)
    found = next((broken[0] for seed in SEEDS if (broken := run(seed).broken.promises)), ("nothing", ""))
    assert found[0] == promise, found


def test_who_reads_of_a_broken_promise_can_repeat_it(monkeypatch, tmp_path):
    double_a_timer(monkeypatch)
    monkeypatch.chdir(tmp_path)
    broken = next(simulation for simulation in map(run, SEEDS) if simulation.broken.promises)
    told, seed = explained(broken), broken.faults.seed
    assert f"make simulate SEED={seed} STEPS=6" in told
    assert "BROKEN Timers" in told
    assert str(broken.faults) in told
    assert (tmp_path / f"build/simulation/seed-{seed}.txt").read_text().splitlines() == broken.history.lines()


def test_seeds_that_leave_a_way_out_prove_nothing():
    with pytest.raises(AssertionError, match=r"no seed has taken these ways: .*crash_of_all"):
        prove([3])
