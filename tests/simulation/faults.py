"""Everything that goes wrong in a run, drawn from its seed before it begins: the one record of its faults."""

from random import Random
from typing import Self

from attrs import asdict, frozen

NODES = ("node-a", "node-b", "node-c", "node-d", "node-e")

EVERYBODY = "everybody"

TROUBLES = {
    # what: how often, and for how many seconds at most
    "crash": (5, 4.0),
    "crash_of_all": (1, 2.0),
    "pause": (4, 5.0),
    "stop": (1, 2.0),
    "drain": (2, 2.0),
    "bus_away": (2, 2.5),
    "directory_away": (1, 3.0),
    "directory_wiped": (1, 0.0),
    "storage_away": (2, 3.0),
    "storage_slow": (2, 2.0),
    "partition": (3, 3.0),
    "partition_one_way": (2, 3.0),
    "clock_jump": (2, 0.0),
    "hang_up": (3, 0.0),
    "slow_clients": (2, 3.0),
}


@frozen
class Trouble:
    """`what` happens to `whom` so many seconds after the one before, and lasts for `for_s`; the next may come sooner.

    `how` is what else there is to say: the other side of a partition, the milliseconds by which a clock jumps.
    """

    after_s: float
    what: str
    whom: str
    for_s: float
    how: str | int = ""


@frozen
class Faults:
    """Chances are those of each packet between nodes, and of each commit."""

    seed: int
    nodes: tuple[str, ...]
    packet_lost: float
    packet_twice: float
    packet_late: float
    packet_late_s: float
    packets_overtake: bool
    append_fails: float
    append_answer_lost: float
    append_lost: float
    append_lands_late: float
    append_late_s: float
    storage_latency_s: float
    troubles: tuple[Trouble, ...]

    @classmethod
    def drawn(cls, seed: int, steps: int) -> Self:
        """Each run leaves some kinds of faults out: what is rare with all of them shows where there are few."""
        dice = Random(seed)
        nodes = NODES[: dice.choice((3, 3, 3, 4, 5))]

        def chance(most: float) -> float:
            return round(dice.uniform(0, most), 3) if dice.random() < 0.4 else 0.0

        return cls(
            seed=seed,
            nodes=nodes,
            packet_lost=chance(0.2),
            packet_twice=chance(0.2),
            packet_late=chance(0.3),
            packet_late_s=round(dice.uniform(0.01, 0.6), 3),
            packets_overtake=dice.random() < 0.2,
            append_fails=chance(0.1),
            append_answer_lost=chance(0.05),
            append_lost=chance(0.05),
            append_lands_late=chance(0.05),
            append_late_s=round(dice.uniform(0.01, 1.5), 3),
            storage_latency_s=round(dice.uniform(0.001, 0.02), 4),
            troubles=tuple(_troubles(dice, nodes, steps)),
        )

    def __str__(self) -> str:
        said = {name: value for name, value in asdict(self, recurse=False).items() if name != "troubles"}
        lines = [f"{name} = {value}" for name, value in said.items()]
        return "\n".join([*lines, *map(str, self.troubles)])


def _troubles(dice: Random, nodes: tuple[str, ...], steps: int) -> list[Trouble]:
    left_out = set(dice.sample(sorted(TROUBLES), dice.randrange(len(TROUBLES) - 2)))
    kinds = [what for what in TROUBLES if what not in left_out]
    weights = [TROUBLES[what][0] for what in kinds]
    return [_trouble(dice, nodes, dice.choices(kinds, weights)[0]) for _ in range(steps)]


def _trouble(dice: Random, nodes: tuple[str, ...], what: str) -> Trouble:
    whom, other = dice.sample(nodes, 2)
    how: str | int = other if what.startswith("partition") else ""
    if what == "clock_jump":
        how = dice.choice((-1, 1)) * dice.randrange(200, 120_000)
    if what in ("bus_away", "directory_away", "storage_away", "storage_slow") and dice.random() < 0.3:
        whom = EVERYBODY
    if what == "crash_of_all":
        whom = EVERYBODY
    return Trouble(
        after_s=round(dice.uniform(0, 2), 2),
        what=what,
        whom=whom,
        for_s=round(dice.uniform(0.1, 1) * TROUBLES[what][1], 2),
        how=how,
    )
