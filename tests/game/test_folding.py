"""Whatever is asked in whatever order: deciding changes nothing, and the events alone make the state (promise 6)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.codec import converter, decode
from gameserver.errors import Refused
from gameserver.game import classic
from gameserver.game.battle import Battle, Finished
from gameserver.game.classic import Attack, Attacked, Cheer, Guard, Numbers
from gameserver.game.commands import (
    Begin,
    CloseBattle,
    CreateGroup,
    Finish,
    IntendBattle,
    Join,
    JoinGroup,
    LeaveGroup,
    OpenBattle,
)
from gameserver.game.group import Group, GroupState
from gameserver.game.guards import Guards
from gameserver.game.machine import IntentionSettled
from gameserver.game.rules import TimeUp, other_side
from tests.game.playing import CREATE, T0, Stage, encoded, parts, restored, running, whole_story

ROOT = Path(__file__).parents[2]
PLAYERS = st.sampled_from(["ann", "abe", "dan", "dot", "nobody"])
GUARDS = Guards(battle_players_limit=4, group_members_limit=3, attack_cooldown_ms=2_000)

repeatable = settings(max_examples=150, deadline=None, database=None)


@frozen
class Step:
    command: Any
    wait_ms: int


def steps(commands: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Step]]:
    waits = st.one_of(st.integers(0, 3_000), st.sampled_from([0, 60_000, 180_000]))
    return st.lists(st.builds(Step, commands, waits), max_size=60)


PLAY = st.one_of(st.builds(Attack, PLAYERS), st.builds(Guard, PLAYERS), st.builds(Cheer, PLAYERS, PLAYERS))
BATTLE_STEPS = steps(
    st.one_of(
        PLAY,
        PLAY,
        PLAY,
        st.just(CREATE),
        st.builds(Join, PLAYERS, st.sampled_from([("attacker",), ("defender",), ()])),
        st.builds(Begin, PLAYERS, st.booleans()),
        st.builds(Finish, PLAYERS, st.booleans(), st.booleans()),
        st.just(TimeUp()),
        st.builds(
            IntentionSettled,
            st.sampled_from(["open:bears", "close:bears", "close:wolves"]),
            st.sampled_from([None, "group_closed"]),
        ),
    )
)
BATTLES = st.sampled_from(["battle-1", "battle-2", "battle-3"])
GROUP_STEPS = steps(
    st.one_of(
        st.builds(CreateGroup, st.just("wolves"), st.just("Wolves"), PLAYERS),
        st.builds(JoinGroup, PLAYERS),
        st.builds(LeaveGroup, PLAYERS),
        st.builds(
            IntendBattle,
            BATTLES,
            st.sampled_from(["bears", "wolves"]),
            st.just("classic"),
            PLAYERS,
            st.booleans(),
            st.booleans(),
        ),
        st.builds(IntentionSettled, BATTLES, st.sampled_from([None, "unknown_mode"])),
        st.builds(OpenBattle, BATTLES),
        st.builds(CloseBattle, BATTLES),
    )
)
NUMBERS = st.builds(
    Numbers,
    attacker_health=st.integers(1, 60),
    defender_health=st.integers(1, 60),
    energy_start=st.integers(0, 6),
    energy_max=st.integers(1, 6),
    energy_interval_ms=st.integers(1, 2_500),
    attack_cost=st.integers(0, 4),
    guard_cost=st.integers(0, 4),
    cheer_cost=st.integers(0, 4),
    cheer_energy=st.integers(0, 4),
    guard_percent=st.integers(0, 100),
    duration_ms=st.integers(1_000, 180_000),
)


def play(stage: Stage, story: list[Step]) -> None:
    """All steps, refused or not; `Stage` checks for each that deciding changed nothing."""
    stage.now = max(stage.now, T0)
    for step in story:
        stage.now += step.wait_ms
        before = encoded(stage.machine)
        try:
            caused = stage.do(step.command)
        except Refused:
            caused = []
        assert caused or encoded(stage.machine) == before


def check_books(stage: Stage) -> None:
    """Energy within bounds, health never negative, and nobody's damage lost or counted twice."""
    state, numbers = stage.state.play, stage.state.play.numbers
    start = {"attacker": numbers.attacker_health, "defender": numbers.defender_health}
    for side, team in state.teams.items():
        lost = start[other_side(side)] - state.teams[other_side(side)].health
        assert 0 <= team.health <= start[side]
        assert team.dealt == lost == sum(p.dealt for p in state.players.values() if p.side == side)
        assert team.dealt == sum(
            e.damage for e in stage.journal if isinstance(e, Attacked) and e.side == other_side(side)
        )
    for player in state.players.values():
        assert 0 <= classic._energy(numbers, player, stage.now) <= numbers.energy_max
        assert player.energy_at <= stage.now


@given(NUMBERS, BATTLE_STEPS, st.booleans())
@repeatable
def test_the_books_of_any_battle_balance_and_its_journal_alone_gives_its_state(
    numbers: Numbers, story: list[Step], begun: bool
) -> None:
    rules = classic.rules_with("classic", 1, numbers)
    stage = running(numbers, guards=GUARDS) if begun else Stage(lambda: Battle(rules, GUARDS))
    play(stage, story)
    check_books(stage)
    whole = encoded(stage.machine)
    assert encoded(stage.folded()) == whole
    assert encoded(restored(whole, rules, GUARDS)) == whole
    assert not any(isinstance(part, float | set | frozenset) for part in parts(stage.state))
    assert [event.at for event in stage.journal] == sorted(event.at for event in stage.journal)


@given(NUMBERS, BATTLE_STEPS)
@repeatable
def test_any_battle_finishes_exactly_once_and_then_takes_nothing(numbers: Numbers, story: list[Step]) -> None:
    stage = running(numbers, guards=GUARDS)
    play(stage, story)
    stage.now += 180_000
    play(stage, [Step(TimeUp(), 0)])
    assert stage.state.phase == "finished"
    (finished,) = (event for event in stage.journal if isinstance(event, Finished))
    assert finished.winner is not None
    assert sum(finished.players.values()) == sum(team.dealt for team in stage.state.play.teams.values())
    assert finished.score == stage.state.play.teams[finished.winner].dealt
    for command in (Attack("ann"), Guard("ann"), Cheer("ann", "abe"), Begin("ann"), Finish("ann"), Join("eve", ())):
        assert stage.code(command) == "battle_finished"
    assert stage.do(TimeUp()) == []


@given(NUMBERS, BATTLE_STEPS, st.integers(0, 60))
@repeatable
def test_a_snapshot_and_the_events_after_it_give_the_same_state(
    numbers: Numbers, story: list[Step], position: int
) -> None:
    stage = running(numbers, guards=GUARDS)
    play(stage, story)
    machine: Any = stage.make()
    for event in stage.journal[:position]:
        machine.apply(event)
    machine = restored(encoded(machine), classic.rules_with("classic", 1, numbers), GUARDS)
    for event in stage.journal[position:]:
        machine.apply(event)
    assert encoded(machine) == encoded(stage.machine)


@given(st.lists(st.integers(0, 9_000), max_size=40), st.integers(1, 2_500), st.integers(0, 5))
@repeatable
def test_energy_neither_drifts_nor_depends_on_how_often_it_is_spent(waits: list[int], interval: int, cost: int) -> None:
    numbers = Numbers(
        defender_health=10**9, energy_max=10**9, energy_interval_ms=interval, attack_cost=cost, duration_ms=10**9
    )
    stage, paid = running(numbers), 0
    for wait_ms in waits:
        stage.now += wait_ms
        try:
            stage.do(Attack("ann"))
            paid += cost
        except Refused:
            pass
        held = classic._energy(numbers, stage.state.play.players["ann"], stage.now)
        assert held + paid == numbers.energy_start + (stage.now - T0) // interval


@given(GROUP_STEPS)
@repeatable
def test_any_group_has_an_owner_or_is_closed_and_its_journal_alone_gives_its_state(story: list[Step]) -> None:
    stage = Stage(lambda: Group(GUARDS))
    play(stage, story)
    state, whole = stage.state, encoded(stage.machine)
    owners = [player for player, member in state.members.items() if member.role == "owner"]
    assert owners == ([state.owner_id] if stage.machine.born and not state.closed else [])
    assert len(state.members) <= GUARDS.group_members_limit
    assert len(state.open_battles) == len(set(state.open_battles))
    assert encoded(stage.folded()) == whole
    assert not any(isinstance(part, float | set | frozenset) for part in parts(state))
    snapshot = Group(GUARDS)
    snapshot.restore(converter.structure(decode(whole), GroupState))
    assert encoded(snapshot) == whole


def test_the_fold_is_the_same_under_every_hash_seed() -> None:
    stage = whole_story()
    expected = encoded(stage.machine)
    assert encoded(stage.folded()) == expected
    code = (
        "from tests.game.playing import encoded, whole_story; import sys;"
        "sys.stdout.buffer.write(encoded(whole_story().folded()))"
    )
    for hash_seed in ("0", "1", "4242"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, env=environment)
        assert done.stdout == expected
