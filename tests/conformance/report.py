"""What the suite found, as a table by group of cases; and what of it we do not accept."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from attrs import frozen

GROUPS: Final = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits, performance",
    "10": "other",
}
RANK: Final = {"OK": 0, "INFORMATIONAL": 0, "NON-STRICT": 1, "WRONG CODE": 2, "UNCLEAN": 2}
FAILED: Final = 3
"""Whatever else the suite may call it."""


@frozen
class Outcome:
    """How a side behaved in the case, and how it closed, in the suite's words."""

    behavior: str
    closing: str

    @property
    def worse(self) -> str:
        return max(self.behavior, self.closing, key=rank)


Outcomes = Mapping[str, Outcome]


def rank(word: str) -> int:
    return RANK.get(word, FAILED)


def not_accepted(side: Outcomes, reference: Outcomes) -> list[str]:
    """The cases, in order, that failed, or where the side does worse than the reference."""
    accepted = {case: min(rank(outcome.worse), FAILED - 1) for case, outcome in reference.items()}
    return sorted((case for case, outcome in side.items() if rank(outcome.worse) > accepted.get(case, 0)), key=number)


def number(case: str) -> tuple[int, ...]:
    return tuple(map(int, case.split(".")))


def table(sides: Mapping[str, Outcomes]) -> str:
    """A row for each group of cases, a column for each side."""
    rows = [["cases", *sides]]
    for group, title in GROUPS.items():
        counted = [_counted(outcomes, group) for outcomes in sides.values()]
        if any(counted):
            rows.append([f"{group}.* {title}", *counted])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _counted(outcomes: Outcomes, group: str) -> str:
    words = Counter(outcome.worse for case, outcome in outcomes.items() if case.partition(".")[0] == group)
    return ", ".join(f"{times} {word}" for word, times in sorted(words.items(), key=lambda item: (rank(item[0]), item)))
