"""The typed decoder of a mode's commands agrees with the converter, on whatever comes in."""

from typing import Any, Literal

import pytest
from attrs import field, frozen
from attrs.validators import le
from hypothesis import example, given
from hypothesis import strategies as st

from gameserver.codec import encode
from gameserver.errors import Refused
from gameserver.game import classic
from gameserver.protocol import commands
from gameserver.protocol.commands import CommandCodec


@frozen
class Simple:
    player_id: str
    what: str
    how_many: int = 1
    loud: bool = False
    mood: Literal["glad", "sad"] | None = None


@frozen
class LastIsPlayer:
    what: str
    player_id: str


@frozen
class Bounded:
    player_id: str
    count: int = field(validator=le(3))


@frozen
class Nested:
    player_id: str
    inner: LastIsPlayer
    names: list[str] = field(factory=list)


@frozen
class NamesABattle:
    player_id: str
    battle_id: str = "its own"


CLASSES = {
    "battle:simple": Simple,
    "battle:last": LastIsPlayer,
    "battle:bounded": Bounded,
    "battle:nested": Nested,
    "battle:named": NamesABattle,
    **classic.rules.commands,
}
CODEC = CommandCodec(CLASSES)
KEYS = ["battleId", "playerId", "what", "howMany", "how_many", "loud", "mood", "count", "inner", "names", "targetId"]

numbers = st.integers(-(2**70), 2**70) | st.integers(0, 4) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.sampled_from(["glad", "sad", "ann", ""]) | st.text(max_size=4)
values = st.none() | st.booleans() | numbers | texts
payloads = st.dictionaries(st.sampled_from(KEYS), values | st.lists(values, max_size=2)) | values


def outcome(read, payload: bytes) -> Any:
    try:
        return read(payload, "ann")
    except Refused as refused:
        return refused.code, refused.message


@pytest.mark.parametrize("name", CLASSES)
@given(payload=payloads)
@example(payload={"battleId": "b", "what": "w", "howMany": 2, "loud": True, "mood": "sad"})
@example(payload={"battleId": "b", "playerId": 7, "what": "w"})
@example(payload={"what": "w", "howMany": 1.0})
@example(payload={"count": 3})
@example(payload={"count": 4})
def test_both_ways_give_the_same_command_or_refuse_it_in_the_same_words(name, payload):
    data = encode(payload)
    by_converter = outcome(lambda data, player: commands._structured(data, player, CLASSES[name]), data)
    assert outcome(lambda data, player: CODEC.decode(name, data, player), data) == by_converter


@pytest.mark.parametrize("name", CLASSES)
@given(payload=st.binary(max_size=20))
def test_any_bytes_are_read_or_refused(name, payload):
    outcome(lambda data, player: CODEC.decode(name, data, player), payload)


@pytest.mark.parametrize("name", ["battle:simple", "battle:last", "battle:bounded", "battle:attack", "battle:cheer"])
def test_what_comes_often_does_not_pass_through_the_converter(name, monkeypatch):
    def converter(*_):
        raise AssertionError("the converter was asked")

    monkeypatch.setattr(commands, "structure", converter)
    fields = {"what": "w"} if name in ("battle:simple", "battle:last") else {}
    fields |= {"battle:bounded": {"count": 1}, "battle:cheer": {"targetId": "dan"}}.get(name, {})
    assert CODEC.decode(name, encode({"battleId": "b", **fields}), "ann").player_id == "ann"


def test_the_sender_is_who_was_proven_whatever_the_payload_says():
    assert CODEC.decode("battle:attack", b'{"playerId":"dan"}', "ann") == classic.Attack("ann")


def test_a_name_that_no_command_has_is_refused():
    assert outcome(lambda data, player: CODEC.decode("battle:fly", data, player), b"{}")[0] == "unknown_event"
