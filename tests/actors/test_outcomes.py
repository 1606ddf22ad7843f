"""The durable memory of commands: what is folded from the journal equals what was remembered live."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.actors.outcomes import Outcomes, row_of
from gameserver.config import CommandSettings
from gameserver.errors import Refused
from gameserver.ids import CommandId, IdempotencyKey

LIMITS = CommandSettings(instances_per_player=2, window=3, keys_per_actor=4)

players = st.sampled_from(["ann", "bob"])
command_ids = st.builds(CommandId, players, st.integers(0, 5), st.integers(0, 12))
keys = st.builds(IdempotencyKey, players, st.sampled_from("abcdefg"), st.sampled_from(["h1", "h2"]))
identities = st.lists(command_ids | keys, max_size=80)


def run(asked, memory):
    """As an actor does it: find, and record what is new. Gives the rows and what everybody was told."""
    rows, told, seq = [], [], 0
    for identity in asked:
        try:
            known = memory.find(identity)
        except Refused as refused:
            told.append(refused.code)
            continue
        if known is None:
            seq += 1
            memory.record(identity, seq)
            rows.append(row_of(identity, seq))
        told.append(known or seq)
    return rows, told


def as_json(rows):
    return json.loads(json.dumps(rows))


@given(identities)
def test_replaying_the_rows_gives_the_live_state(asked):
    live, replayed = Outcomes(LIMITS), Outcomes(LIMITS)
    rows, _ = run(asked, live)
    replayed.replay(as_json(rows))
    assert replayed.snapshot() == live.snapshot()


@given(identities, st.integers(0, 80))
def test_a_snapshot_and_the_rows_after_it_give_the_live_state(asked, at):
    live, restored = Outcomes(LIMITS), Outcomes(LIMITS)
    run(asked[:at], live)
    restored.restore(as_json(live.snapshot()))
    assert restored.snapshot() == live.snapshot()
    after, _ = run(asked[at:], live)
    restored.replay(as_json([[*row[:-1], row[-1]] for row in after]))
    assert json.dumps(restored.snapshot()) == json.dumps(live.snapshot())


@given(identities)
def test_no_command_takes_effect_twice_unless_its_key_was_forgotten(asked):
    rows, _ = run([identity for identity in asked if isinstance(identity, CommandId)], Outcomes(LIMITS))
    commands = [tuple(row[:-1]) for row in rows]
    assert len(commands) == len(set(commands))


@given(identities)
def test_memory_is_bounded(asked):
    memory = Outcomes(LIMITS)
    run(asked, memory)
    state = memory.snapshot()
    assert len(state["keys"]) <= LIMITS.keys_per_actor
    for _, _, *instances in state["players"]:
        assert len(instances) <= LIMITS.instances_per_player
        assert all(len(seqs) <= LIMITS.window for _, _, seqs in instances)


@given(identities, command_ids | keys)
def test_asking_twice_gets_the_same_answer(asked, identity):
    memory = Outcomes(LIMITS)
    _, told = run([*asked, identity, identity], memory)
    assert told[-1] == told[-2] or told[-1] == "command_expired"


def test_numbers_rise_within_an_instance():
    memory = Outcomes(LIMITS)
    memory.record(CommandId("ann", 1, 5), 10)
    assert memory.find(CommandId("ann", 1, 5)) == 10
    assert memory.find(CommandId("ann", 1, 6)) is None
    assert memory.find(CommandId("ann", 2, 0)) is None
    with pytest.raises(Refused, match="command_expired"):
        memory.find(CommandId("ann", 1, 4))
