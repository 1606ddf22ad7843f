"""Modes for the benchmark: classic in which nothing runs out, neither energy nor health nor time; as it is, and with a
state that is laden with things. For `--rules`."""

from functools import partial

from attrs import define, evolve, field, frozen

from gameserver.game import classic
from gameserver.game.classic import Numbers, rules_with
from gameserver.game.rules import Rules

VAST = 10**12
NUMBERS = Numbers(
    attacker_health=VAST, defender_health=VAST, attack_cost=0, guard_cost=0, cheer_cost=0, duration_ms=VAST
)
THINGS_PER_KB = 21


@frozen
class Thing:
    """Some 48 bytes of a snapshot: small parts, as states are made of, and not one long text."""

    owner: str
    kind: str
    charges: int


@define
class Laden(classic.State):
    things: list[Thing] = field(factory=list)


def laden(kb: int) -> Rules:
    """Its state is of about so many KB, where that of `bench` is of one."""
    return evolve(rules_with(f"bench-{kb}kb", 1, NUMBERS), state=Laden, new=partial(_new, kb))


def _new(kb: int) -> Laden:
    fresh = classic.new(NUMBERS)
    things = [Thing(f"{number:08}", "shield", 3) for number in range((kb - 1) * THINGS_PER_KB)]
    return Laden(fresh.numbers, fresh.teams, things=things)


rules = rules_with("bench", 1, NUMBERS)
with_10_kb = laden(10)
with_100_kb = laden(100)
