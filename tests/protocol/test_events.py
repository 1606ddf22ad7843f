"""The prepared writing of events gives the very bytes that the converter would, for every event there is."""

from typing import Any

import pytest
from attrs import field, fields, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.codec import camel, encode, unstructure
from gameserver.game import battle, classic, group, skirmish
from gameserver.game.rules import private
from gameserver.protocol.events import EventCodec
from tests.actors import nasty

# -- events that no mode of ours has -----------------------------------------------------------------------------------


@frozen
class Part:
    part_name: str
    at_least: int


@frozen
class Built:
    parts: list[Part]
    first_part: Part | None
    whatever: Any
    names: tuple[str, ...]
    by_name: dict[str, Part]
    at: int


@frozen
class Hidden:
    player_id: str
    card: str = private()
    more_cards: list[Part] = private(factory=list)
    at: int = 0


@frozen
class NamesItsBattle:
    at: int
    battle_id: str
    counted: int = field(init=False, default=7)


@frozen
class OnlyATime:
    at: int


MADE_UP = {"battle:built": Built, "battle:hidden": Hidden, "battle:named": NamesItsBattle, "battle:time": OnlyATime}

few = settings(max_examples=25, deadline=None)

# -- both ways ---------------------------------------------------------------------------------------------------------

KINDS = [
    ("battleId", battle.EVENTS),
    ("battleId", classic.rules.events),
    ("battleId", skirmish.rules.events),
    ("battleId", nasty.rules.events),
    ("groupId", group.EVENTS),
    ("battleId", MADE_UP),
]
CLASSES = [(id_key, name, cls) for id_key, events in KINDS for name, cls in events.items()]


def by_converter(id_key: str, name: str, seq: int, event: Any) -> tuple[bytes, bytes]:
    payload = {id_key: "the actor", **unstructure(event)}
    secret = {camel(f.name): payload.pop(camel(f.name)) for f in fields(type(event)) if f.metadata.get("private")}
    return encode({"event": name, "seq": seq, "payload": payload}), encode([seq, secret]) if secret else b""


def instances(cls: type) -> st.SearchStrategy[Any]:
    return st.builds(cls, **{f.name: st.integers() | st.text() for f in fields(cls) if f.type is Any})


@pytest.mark.parametrize(("id_key", "name", "cls"), CLASSES)
@given(data=st.data(), seq=st.integers(1, 2**53))
@few
def test_an_event_is_written_as_the_converter_has_it(id_key, name, cls, data, seq):
    codec = EventCodec({name: cls}, id_key)
    event = data.draw(instances(cls))
    assert codec.writers[type(event)]("the actor", seq, event) == by_converter(id_key, name, seq, event)


@pytest.mark.parametrize(("id_key", "name", "cls"), CLASSES)
@given(data=st.data(), seq=st.integers(1, 2**53))
@few
def test_what_is_written_is_read_as_it_was(id_key, name, cls, data, seq):
    codec = EventCodec({name: cls}, id_key)
    event = data.draw(instances(cls))
    public, hidden = codec.writers[type(event)]("the actor", seq, event)
    assert list(codec.decode(public, b"[" + hidden + b"]" if hidden else b"")) == [(seq, event)]


def test_what_is_no_plain_data_is_not_written():
    codec = EventCodec(nasty.rules.events, "battleId")
    with pytest.raises(TypeError):
        codec.writers[nasty.Done]("the actor", 1, nasty.Done("ann", object(), 0, 0, 0))
    with pytest.raises(LookupError):
        codec.writers[nasty.Stranger]("the actor", 1, nasty.Stranger(0))
