"""The result: a table with a row for each fault, and the same for machines."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import asdict

from loadtest.chaos.outcome import Outcome
from loadtest.chaos.trial import Trial
from loadtest.meter import quantile
from loadtest.proof import Verdict

LOST: Final = ("battle lost", "command lost", "score lost")
DOUBLED: Final = ("command doubled", "event doubled", "score doubled")
GAPS: Final = ("event lost", "event out of order", "connection out of step")

TOTAL: Final = "together"
HEAD: Final = (
    "| fault | times | survived | acknowledged | lost | doubled | gaps "
    "| first accepted, s: p50 | p99 | max | longest wait, s |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def table(outcome: Outcome) -> str:
    """What was lost, doubled or left out is known of the whole run; a row shows it only where it is nothing."""
    titles = sorted({trial.title for trial in outcome.trials})
    by_title = [(title, [trial for trial in outcome.trials if trial.title == title]) for title in titles]
    rows = [_row(title, trials, outcome.verdict) for title, trials in [*by_title, (TOTAL, outcome.trials)]]
    return "\n".join([HEAD, *rows])


def figures(outcome: Outcome) -> list[str]:
    """What the table has no column for, and what went wrong."""
    lines = [f"seed {outcome.seed}"]
    after_s = [taken_s for trial in outcome.trials for taken_s in trial.accepted_after_detection_s]
    hand_overs_s = [taken_s for trial in outcome.trials for taken_s in trial.hand_overs_s]
    drains_s = [taken_s for trial in outcome.trials for taken_s in trial.drains_s]
    if after_s:
        lines.append(f"from the end of a killed node's lease to the first accepted command: {_seconds(after_s)}")
    if drains_s:
        lines.append(f"from the word to leave until a node owned no battle: {_seconds(hand_overs_s)}")
        lines.append(f"from the word to leave to the end of a node: {_seconds(drains_s)}")
    lines += [
        f"all players had resumed {trial.resumed_s:.2f} s after they were cut off, with {trial.journal_reads} reads of "
        f"the journal for {trial.battles} battles"
        for trial in outcome.trials
        if trial.resumed_s is not None
    ]
    return lines + _wrongs(outcome)


def as_json(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "seed": outcome.seed,
        "commands": verdict.commands,
        "deliveries": verdict.deliveries,
        "battles": verdict.battles,
        "unfinished": outcome.unfinished,
        "unanswered": outcome.unanswered,
        "faults": dict(verdict.by_kind),
        "trials": [asdict(trial) for trial in outcome.trials],
    }


def _wrongs(outcome: Outcome) -> list[str]:
    lines = [
        f"NOT SURVIVED at {trial.began_at_s:.0f} s: {trial.title}: {trial.missing}"
        for trial in outcome.trials
        if not trial.survived
    ]
    if outcome.unanswered:
        lines.append(f"NEVER ANSWERED: {outcome.unanswered:,} commands")
    if outcome.unfinished:
        lines.append(f"NOT FINISHED in time: {outcome.unfinished:,} battles")
    return lines


def _row(title: str, trials: Sequence[Trial], verdict: Verdict) -> str:
    accepted = array("d", sorted(seconds for trial in trials for seconds in trial.accepted_s))
    lost, doubled, gaps = (_count(verdict.by_kind, kinds) for kinds in (LOST, DOUBLED, GAPS))
    cells = (
        title,
        str(len(trials)),
        str(sum(trial.survived for trial in trials)),
        f"{sum(trial.acknowledged for trial in trials):,}",
        *(str(count) if count == 0 or title == TOTAL else "?" for count in (lost, doubled, gaps)),
        *(f"{quantile(accepted, share):.2f}" if accepted else "–" for share in (0.5, 0.99, 1.0)),  # noqa: RUF001
        f"{max((trial.longest_wait_s for trial in trials), default=0.0):.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _count(by_kind: Mapping[str, int], kinds: Iterable[str]) -> int:
    return sum(by_kind.get(kind, 0) for kind in kinds)


def _seconds(values: Sequence[float]) -> str:
    ordered = array("d", sorted(values))
    return ", ".join(
        f"{name} {quantile(ordered, share):.2f} s" for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    )
