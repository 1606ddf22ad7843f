"""The load test's proof can fail: each fault is planted in a flawless run, and each is found."""

import pytest
from attrs import evolve

from loadtest.proof import Row, Score, prove
from loadtest.recording import Asked, Stream
from tests.loadtest.proofs import ANN, BATTLE, BEN, INSTANCE, WINNERS, Evidence, flawless, line, row


def stream(evidence: Evidence) -> Stream:
    return evidence.recording.players[ANN].streams[BATTLE]


def replace(evidence: Evidence, seqs: list[int]) -> None:
    """Ann saw these events, in this order."""
    evidence.recording.players[ANN].streams[BATTLE] = seen = Stream()
    for seq in seqs:
        seen.take(seq, line(seq))


def test_a_flawless_run_has_no_faults() -> None:
    verdict = flawless().verdict()
    assert verdict.faults == []
    assert (verdict.battles, verdict.finished, verdict.streams, verdict.commands) == (1, 1, 2, 5)
    assert verdict.deliveries == 8 + 7


# -- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [2, 5, 9])
def test_a_lost_event_is_found_wherever_it_stood(lost: int) -> None:
    evidence = flawless()
    replace(evidence, [seq for seq in range(2, 10) if seq != lost])
    assert evidence.kinds() == {"event lost"}


def test_a_whole_stream_that_never_came_is_found() -> None:
    evidence = flawless()
    del evidence.recording.players[ANN].streams[BATTLE]
    assert evidence.verdict().by_kind == {"event lost": 8}


@pytest.mark.parametrize("again", [2, 5, 9])
def test_a_doubled_event_is_found(again: int) -> None:
    evidence = flawless()
    replace(evidence, [*range(2, again + 1), *range(again, 10)])
    assert evidence.kinds() == {"event doubled"}


def test_reordered_events_are_found() -> None:
    evidence = flawless()
    replace(evidence, [2, 3, 5, 4, 6, 7, 8, 9])
    assert evidence.kinds() == {"event out of order"}


def test_what_only_the_connection_saw_is_found() -> None:
    evidence = flawless()
    evidence.recording.players[ANN].out_of_step = 2
    assert evidence.kinds() == {"connection out of step"}


def test_an_altered_event_is_found() -> None:
    evidence = flawless()
    replace(evidence, [2, 3, 4])
    stream(evidence).take(5, line(5, damage=10))
    for seq in range(6, 10):
        stream(evidence).take(seq, line(seq))
    assert evidence.kinds() == {"event altered"}


def test_an_event_that_the_journal_does_not_have_is_found() -> None:
    """What was shown before it was durable, and then lost in a crash."""
    evidence = flawless()
    evidence = evolve(evidence, rows=[*evidence.rows[:-1], row(7, 8)], last_seq=8)
    assert evidence.kinds() == {"event from nowhere"}


def test_a_gap_is_excused_only_where_the_server_said_so() -> None:
    evidence = flawless()
    replace(evidence, [2, 3, 7, 8, 9])
    assert evidence.verdict().by_kind == {"event lost": 3}
    stream(evidence).restarts.append((3, 6))
    assert evidence.verdict().faults == []
    stream(evidence).restarts[0] = (3, 5)
    assert evidence.verdict().by_kind == {"event lost": 1}


# -- commands --------------------------------------------------------------------------------------------------------


def test_an_acknowledged_command_without_an_outcome_is_found() -> None:
    evidence = flawless()
    evidence.recording.players[ANN].acknowledged.append((Asked(INSTANCE, 3, BATTLE, "battle:attack"), 5))
    assert evidence.kinds() == {"command lost"}


def test_an_acknowledged_command_of_a_lost_battle_is_found() -> None:
    verdict = prove(flawless().recording, {}, [])
    assert verdict.by_kind == {"battle lost": 1, "command lost": 5}


def test_a_doubled_outcome_is_found() -> None:
    evidence = flawless().with_outcome([ANN, INSTANCE, 2, 5])
    assert evidence.kinds() == {"command doubled", "event without its command"}


def test_a_command_that_ran_twice_is_found() -> None:
    """The second run made another event, as if the ID had been forgotten."""
    evidence = flawless().with_outcome([ANN, INSTANCE, 2, 6])
    assert "command doubled" in evidence.kinds()


def test_an_answer_that_names_another_event_is_found() -> None:
    evidence = flawless()
    asked, _ = evidence.recording.players[ANN].acknowledged.pop()
    evidence.recording.players[ANN].acknowledged.append((asked, 6))
    assert evidence.kinds() == {"command answered wrongly"}


def test_an_outcome_that_is_somebody_elses_event_is_found() -> None:
    evidence = flawless()
    evidence.recording.players[ANN].acknowledged[-1] = (Asked(INSTANCE, 2, BATTLE, "battle:guard"), 5)
    assert evidence.kinds() == {"command answered wrongly"}


def test_a_refused_command_that_took_effect_is_found() -> None:
    evidence = flawless()
    asked, _ = evidence.recording.players[BEN].acknowledged.pop()
    evidence.recording.players[BEN].refused.append(asked)
    assert evidence.kinds() == {"refused and yet done"}


def test_a_command_that_nobody_gave_is_found() -> None:
    evidence = flawless()
    evidence.recording.players[BEN].highest[INSTANCE] = 2
    assert evidence.kinds() == {"command from nowhere"}


def test_an_event_of_play_that_nobody_caused_is_found() -> None:
    evidence = flawless()
    rows = [evolve(each, outcomes=each.outcomes[:-1]) if each.seq == 6 else each for each in evidence.rows]
    evidence.recording.players[BEN].acknowledged.pop(1)
    assert evolve(evidence, rows=rows).kinds() == {"event without its command"}


# -- scores and the journal itself -----------------------------------------------------------------------------------


def test_a_missing_score_is_found() -> None:
    assert evolve(flawless(), scores=[]).kinds() == {"score lost"}


def test_a_double_score_is_found() -> None:
    evidence = flawless()
    assert evolve(evidence, scores=evidence.scores * 2).kinds() == {"score doubled"}


@pytest.mark.parametrize("wrong", [Score(BATTLE, WINNERS, 10), Score(BATTLE, BEN, 9)])
def test_an_altered_score_is_found(wrong: Score) -> None:
    assert evolve(flawless(), scores=[wrong]).kinds() == {"score altered"}


def test_a_score_without_a_finish_is_found() -> None:
    evidence = flawless()
    unfinished = [*evidence.rows[:-1], row(7, 7)]
    for seen in evidence.recording.players.values():
        for column in (seen.streams[BATTLE].seqs, seen.streams[BATTLE].checksums):
            del column[-2:]
    assert evolve(evidence, rows=unfinished, last_seq=7).kinds() == {"score without a finish"}
    assert "score without a finish" in evolve(flawless(), scores=[Score(ANN, WINNERS, 1), *evidence.scores]).kinds()


def test_a_hole_in_the_journal_is_found() -> None:
    rows = flawless().rows
    assert "journal broken" in evolve(flawless(), rows=[rows[0], *rows[2:]]).kinds()
    assert "journal broken" in evolve(flawless(), last_seq=10).kinds()
    swapped = Row(7, 9, rows[-1].outcomes, [line(8), line(7), line(9)])
    assert "journal broken" in evolve(flawless(), rows=[*rows[:-1], swapped]).kinds()
