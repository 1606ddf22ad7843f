"""What a run has come to."""

from collections.abc import Sequence

from attrs import frozen

from loadtest.chaos.trial import Trial
from loadtest.proof import Verdict


@frozen
class Outcome:
    """`unanswered`: commands that nobody answered, however often they were repeated."""

    seed: int
    trials: Sequence[Trial]
    verdict: Verdict
    unanswered: int

    @property
    def good(self) -> bool:
        survived = all(trial.survived for trial in self.trials)
        return survived and not (self.verdict.faults or self.unanswered or self.unfinished)

    @property
    def unfinished(self) -> int:
        """Battles that did not come to their end in time."""
        return self.verdict.battles - self.verdict.finished
