"""Whatever one node says another one hears, exactly; and what is no packet costs one line in the log."""

import msgspec
import pytest
import trio
import trio.testing
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from gameserver.actors.messages import Birth, Inspect, Play, Show, Wake
from gameserver.actors.ports import Accepted, Committed, Shown
from gameserver.cluster import items, wire
from gameserver.cluster.links import Links
from gameserver.config import ClusterSettings
from gameserver.errors import CODES, Refused
from gameserver.game import commands
from gameserver.game.battle import Finished
from gameserver.game.machine import IntentionSettled
from gameserver.game.rules import Joined
from gameserver.ids import CommandId, IdempotencyKey
from tests.contracts.memory_bus import MemoryBus, MemoryHub

texts = st.text()
numbers = st.integers(0, 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
identities = st.none() | st.builds(CommandId, texts, numbers, numbers) | st.builds(IdempotencyKey, texts, texts, texts)
asked = (
    st.builds(Play, texts, st.binary(), texts)
    | st.builds(Show, st.none() | texts)
    | st.builds(Inspect)
    | st.builds(Wake)
    | st.builds(IntentionSettled, texts, st.none() | texts)
    | st.one_of(*(st.from_type(items._OTHERS[name]) for name in sorted(items._OTHERS)))
)
requests = st.builds(
    items.Request,
    origin=texts,
    number=numbers,
    hops=numbers,
    named=st.booleans(),
    expires_at_ms=numbers,
    watching=st.booleans(),
    actor_id=texts,
    said=asked.map(lambda command: command if isinstance(command, Play) else items.Other.of(command)),
    identity=identities,
    birth=st.none() | st.builds(Birth, texts, texts),
)
refusals = st.builds(
    Refused,
    st.sampled_from(sorted(CODES)) | texts,
    texts.filter(bool),
    retry_after_ms=st.none() | numbers,
    websocket_url=st.none() | texts,
)
answers = (
    st.builds(Accepted, numbers, st.none() | st.binary()) | st.builds(Shown, numbers, st.dictionaries(texts, plain))
) | refusals
seats = st.lists(st.tuples(numbers, texts)).map(tuple)
plain_items = (
    st.builds(items.Events, texts, numbers, st.lists(st.binary()).map(tuple), seats, st.booleans())
    | st.builds(items.Watching, st.lists(st.tuples(texts, numbers)).map(tuple))
    | st.builds(items.NotHere, st.lists(texts).map(tuple))
    | st.builds(items.Activated, texts, numbers)
    | st.builds(items.Look)
    | st.builds(items.Missed)
    | st.builds(items.Goodbye, texts)
    | st.builds(items.OutboxFilled)
    | st.builds(items.BattleCreated, texts, st.lists(texts).map(tuple), st.dictionaries(texts, plain))
    | st.builds(items.LoginRevoked, texts)
    | st.builds(items.PlayerDisconnected, texts)
)


def travelled(*said):
    """What the receiver makes of these items of one packet."""
    sender, heard = wire.decode_packet(wire.join_items("node-a", [wire.encode_item(item) for item in said]))
    assert sender == "node-a"
    return heard


def comparable(item):
    """Of a command, what is made of it counts: a tuple travels as a list."""
    return (replace(item, said=None), item.command) if isinstance(item, items.Request) else item


def said(answer):
    """What there is to compare of an answer; refusals are exceptions."""
    return items.Refusal.of(answer) if isinstance(answer, Refused) else answer


@given(st.lists(requests | plain_items, max_size=4))
def test_every_item_arrives_as_it_was_said_and_in_order(said):
    assert list(map(comparable, travelled(*said))) == list(map(comparable, said))


@given(numbers, answers)
def test_every_answer_arrives_as_it_was_given(number, answer):
    (response,) = travelled(items.Response.of(number, answer))
    assert response.number == number
    assert said(response.answer) == said(answer)


def test_every_kind_of_command_that_actors_take_travels():
    taken = {cls for cls in vars(commands).values() if isinstance(cls, type) and cls.__module__ == commands.__name__}
    assert taken <= set(items._OTHERS.values())


def test_an_exception_that_is_no_refusal_arrives_as_an_internal_error():
    (response,) = travelled(items.Response.of(1, RuntimeError("secret")))
    assert response.answer.code == "internal"
    assert "secret" not in response.answer.message


def test_a_commit_says_who_joined_when_and_whether_it_was_the_last():
    joined = Joined("eve", "attacker", "participant", 1)
    milestones = ((7, joined), (8, Finished("attacker", "wolves", 1, {}, "won", 1, 2)))
    (heard,) = travelled(items.Events.of(Committed("b", "battle", 1, 7, (b"one", b"two"), milestones)))
    assert heard == items.Events("b", 7, (b"one", b"two"), ((7, "eve"),), finished=True)
    assert heard.seq == 8


def test_a_commit_without_lines_says_where_the_battle_is():
    assert items.Events("b", 8).seq == 7


@pytest.mark.parametrize(
    "view", [{"a": object()}, {"a": 2**70}, {"a": "\ud800"}], ids=["an object", "a large number", "half a character"]
)
def test_a_view_that_is_no_plain_data_is_a_failure_of_the_rules(view):
    (response,) = travelled(items.Response.of(5, Shown(3, view)))
    assert (response.number, response.answer.code) == (5, "rules_failed")


def test_a_view_that_holds_itself_is_a_failure_of_the_rules():
    view = {"a": 1}
    view["me"] = view
    (response,) = travelled(items.Response.of(5, Shown(3, view)))
    assert response.answer.code == "rules_failed"


# -- what is no packet ------------------------------------------------------------------------------------------------


@define
class StoppedClock:
    at_ms: int = 1_000_000

    def now_ms(self):
        return self.at_ms


class Listening:
    def __init__(self):
        self.hub, self.heard = MemoryHub(), []
        self.links = Links(MemoryBus(self.hub), "node-b", "of all nodes", StoppedClock(), ClusterSettings())
        for kind in (items.Look, items.Activated, items.Request, items.Response):
            self.links.on(kind, lambda sender, item: self.heard.append((sender, item)))

    def tell(self, packet, channel="node:node-b", secret="of all nodes", at_ms=1_000_000, by="node:node-b"):
        """As a node does that has this secret, at this time; `by` is the channel on which it really goes."""
        teller = Links(MemoryBus(MemoryHub()), "node-a", secret, StoppedClock(at_ms), ClusterSettings())
        packet = teller._sealed(channel, packet)
        trio.run(self._spread, by if by != "node:node-b" else channel, packet, clock=trio.testing.MockClock())

    async def _spread(self, channel, packet):
        """On a Trio loop, as a bus does."""
        self.hub.spread(channel, packet)

    def is_listening(self):
        """The next packet is heard."""
        self.tell(wire.join_items("node-a", [wire.encode_item(items.Activated("b", 1))]))
        return self.heard == [("node-a", items.Activated("b", 1))]


request = items.Request("node-a", 1, 1, False, 1, False, "b", items.Other.of(Show()), None, None)


def packet_of(*said):
    return wire.pack(["node-a", said])


def asking_for(command, identity=None):
    return packet_of(["Request", "a", 1, 1, False, 1, False, "b", command, identity, None])


HOSTILE = {
    "nothing": b"",
    "no packet": b"\xc1\xff",
    "a number": wire.pack(7),
    "an empty array": wire.pack([]),
    "a name alone": wire.pack(["node-a"]),
    "items that are no array": wire.pack(["node-a", 7]),
    "more than items": wire.pack(["node-a", [], []]),
    "an item that is no array": packet_of(7),
    "an item without a tag": packet_of([]),
    "an unknown tag": packet_of(["Surrender", 1]),
    "a tag of a class that is no item": packet_of(["Member", 1, 2]),
    "too many fields": packet_of(["Look", 1]),
    "too few fields": packet_of(["Activated", "b"]),
    "a field that is no list": packet_of(["NotHere", 5]),
    "pairs that are none": packet_of(["Watching", [["b"]]]),
    "a command that does not travel": asking_for(["Other", "Passivate", {}]),
    "a command with a strange field": asking_for(["Other", "Show", {"kind": None, "x": 1}]),
    "a command with a wrong type": asking_for(["Other", "JoinGroup", {"player_id": 5}]),
    "a command of a mode without a player": asking_for(["Play", "battle:attack", b"{}"]),
    "a command of a mode with a strange payload": asking_for(["Play", "battle:attack", 5, "ann"]),
    "a strange identity": asking_for(["Other", "Show", {}], [1]),
    "a strange answer": packet_of(["Response", 1, ["Surrendered", 5]]),
    "very deep": wire.pack("node-a").join([b"\x92", b"\x91" * 5_000]) + b"\x90",
    "very deep fields": asking_for(["Other", "Show", {}]).replace(wire.pack({}), b"\x81\xa1x" * 5_000 + b"\xc0"),
}


@pytest.mark.parametrize("packet", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("channel", ["node:node-b", "nodes"])
def test_what_is_no_packet_costs_one_line_in_the_log(channel, packet):
    listening = Listening()
    with capture_logs() as logs:
        listening.tell(packet, channel)
    assert [line["event"] for line in logs] == ["links.not_understood"]
    assert listening.links.counters.not_understood == 1
    assert listening.is_listening()


@pytest.mark.parametrize("channel", ["node:node-b", "nodes"])
def test_what_comes_from_nobody_who_knows_the_secret_is_not_heard(channel):
    listening = Listening()
    packet = wire.join_items("node-a", [wire.encode_item(items.Look())])
    with capture_logs() as logs:
        listening.tell(packet, channel, secret="of others")
        listening.hub.spread(channel, packet)
        listening.hub.spread(channel, b"")
    assert listening.heard == []
    assert len(logs) == 1
    assert listening.links.counters.not_understood == 3
    assert listening.is_listening()


def test_what_was_said_long_ago_or_on_another_channel_is_not_heard_again():
    listening = Listening()
    packet = wire.join_items("node-a", [wire.encode_item(items.Look())])
    with capture_logs():
        listening.tell(packet, at_ms=1_000_000 - 30_001)
        listening.tell(packet, at_ms=1_000_000 + 30_001)
        listening.tell(packet, "node:node-c", by="nodes")
    assert listening.heard == []
    assert listening.links.counters.not_understood == 3
    listening.tell(packet, at_ms=1_000_000 - 29_999)
    assert listening.heard == [("node-a", items.Look())]


@given(st.binary(max_size=40) | plain.map(wire.pack))
def test_no_bytes_whatever_keep_the_next_packet_from_being_heard(packet):
    listening = Listening()
    with capture_logs() as logs:
        listening.tell(packet)
    assert len(logs) <= 1
    assert listening.is_listening()


@given(st.lists(requests | plain_items, min_size=1, max_size=3), st.data())
def test_a_packet_that_was_cut_short_is_not_taken_for_a_whole_one(said, data):
    packet = wire.join_items("node-a", [wire.encode_item(item) for item in said])
    cut = packet[: data.draw(st.integers(0, len(packet) - 1))]
    with pytest.raises((msgspec.DecodeError, ValueError)):
        wire.decode_packet(cut)


def test_an_item_whose_handler_fails_does_not_take_the_others_with_it():
    listening = Listening()

    def fail(_sender, _item):
        raise RuntimeError("broken")

    listening.links.on(items.Look, fail)
    encoded = [wire.encode_item(item) for item in (items.Look(), items.Activated("b", 1), items.Look())]
    with capture_logs() as logs:
        listening.tell(wire.join_items("node-a", encoded))
    assert listening.heard == [("node-a", items.Activated("b", 1))]
    assert [line["event"] for line in logs] == ["links.handler_failed"] * 2


def test_what_was_evolved_on_its_way_differs_in_its_hops_alone():
    (heard,) = travelled(replace(request, hops=2))
    assert heard == replace(request, hops=2)
