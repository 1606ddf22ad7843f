"""What is measured of a fault, and how it is told."""

from typing import Any

import pytest
import trio
from attrs import evolve

from loadtest.chaos.outcome import Outcome
from loadtest.chaos.recovery import Recovery
from loadtest.chaos.report import figures, table
from loadtest.chaos.trial import Trial
from loadtest.proof import Verdict

KILLED = Trial(
    fault="kill-late",
    title="kill -9",
    began_at_s=3.0,
    battles=2,
    accepted_s=[2.0, 2.5],
    acknowledged=1_200,
    longest_wait_s=2.6,
    detected_s=1.9,
    hand_overs_s=[],
    drains_s=[],
    resumed_s=None,
    journal_reads=None,
    missing="",
)


def outcome_of(*trials: Trial) -> Outcome:
    return Outcome(1, trials, Verdict(), unanswered=0)


def attack(battle_id: str, at_ms: int, event: str = "battle:attack") -> dict[str, Any]:
    return {"event": event, "seq": 9, "payload": {"battleId": battle_id, "at": at_ms}}


async def test_a_battle_has_recovered_with_the_first_command_that_it_accepted_after_the_blow(autojump_clock) -> None:
    recovery = Recovery({"one", "other"}, struck_at_ms=1_000)
    await trio.sleep(2)
    recovery.hear(attack("one", 999))
    recovery.hear(attack("one", 1_500, "battle:settled"))
    recovery.hear(attack("elsewhere", 1_500))
    assert recovery.missing == {"one", "other"}
    recovery.hear(attack("one", 1_001))
    await trio.sleep(1)
    recovery.hear(attack("one", 2_000))
    recovery.hear(attack("other", 2_000))
    assert recovery.times_s == pytest.approx({"one": 2, "other": 3})
    await recovery.done()


async def test_what_concerns_no_battle_is_over_at_once() -> None:
    await Recovery(set()).done()


def test_the_table_has_a_row_for_each_fault_and_one_for_all() -> None:
    again, slow = evolve(KILLED, accepted_s=[4.0], longest_wait_s=5.0), evolve(KILLED, title="slow", accepted_s=[])
    rows = table(outcome_of(KILLED, slow, again)).splitlines()[2:]
    assert rows == [
        "| kill -9 | 2 | 2 | 2,400 | 0 | 0 | 0 | 2.50 | 4.00 | 4.00 | 5.00 |",
        "| slow | 1 | 1 | 1,200 | 0 | 0 | 0 | – | – | – | 2.60 |",  # noqa: RUF001
        "| together | 3 | 3 | 3,600 | 0 | 0 | 0 | 2.50 | 4.00 | 4.00 | 5.00 |",
    ]


def test_what_was_lost_doubled_or_left_out_is_counted_for_all_and_blamed_on_none() -> None:
    outcome = outcome_of(KILLED)
    for kind in ("command lost", "score lost", "event doubled", "event lost", "connection out of step"):
        outcome.verdict.add(kind, "somewhere")
    row, total = table(outcome).splitlines()[2:]
    assert "| 1,200 | ? | ? | ? |" in row
    assert "| 1,200 | 2 | 1 | 2 |" in total
    assert not outcome.good


def test_what_went_wrong_is_said_and_makes_the_run_a_bad_one() -> None:
    assert outcome_of(KILLED).good
    for outcome, said in (
        (outcome_of(evolve(KILLED, missing="answers")), "NOT SURVIVED at 3 s: kill -9: answers"),
        (evolve(outcome_of(KILLED), unanswered=2), "NEVER ANSWERED: 2 commands"),
        (evolve(outcome_of(KILLED), verdict=Verdict(battles=3, finished=2)), "NOT FINISHED in time: 1 battles"),
    ):
        assert not outcome.good
        assert said in figures(outcome)


def test_the_share_after_detection_is_told_by_battle() -> None:
    expected = "from the end of a killed node's lease to the first accepted command: p50 0.60 s, p99 0.60 s, max 0.60 s"
    assert expected in figures(outcome_of(KILLED))
