"""The fast decoder of the envelope agrees with the one converter, on whatever comes in."""

import uuid
from typing import Any

import msgspec
from attrs import field, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from gameserver.codec import decode, encode, structure
from gameserver.errors import Refused
from gameserver.ids import is_uuid
from gameserver.protocol.envelope import LARGEST_NUMBER, decode_envelope


@frozen
class Plain:
    """The envelope as the converter sees it."""

    event: str
    id: int
    payload: Any = field(factory=dict)


def by_converter(data: bytes) -> Plain:
    try:
        plain = decode(data)
    except msgspec.ValidationError as error:
        raise Refused("invalid_message") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("not_json") from error
    if _has_nul(plain):
        raise Refused("nul_in_text")
    envelope = structure(plain, Plain)
    if not 0 <= envelope.id <= LARGEST_NUMBER:
        raise Refused("invalid_message")
    return envelope


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def outcome(decoder, data):
    try:
        envelope = decoder(data)
    except Refused as refused:
        return refused.code
    payload = envelope.payload
    return envelope.event, envelope.id, decode(payload) if isinstance(payload, msgspec.Raw) else payload


texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["\0", "\\u0000", "\\\0", "a\\\\u0000"])
numbers = st.integers(-(2**63), 2**64 - 1) | st.integers(0, 100)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {}, optional={"event": texts | plain, "id": numbers | plain, "payload": plain, "more": plain}
)


@given(messages | plain)
@example({"event": "x", "id": 2**53, "payload": {}})
@example({"event": "x", "id": 1.0})
@example({"event": "\\u0000", "id": 1})
@example({"event": "\\\0", "id": 1})
def test_both_decoders_say_the_same_of_any_json(message):
    data = encode(message)
    assert outcome(decode_envelope, data) == outcome(by_converter, data)


@given(st.binary(max_size=30))
def test_any_bytes_are_decoded_or_refused(data):
    assert isinstance(outcome(decode_envelope, data), str | tuple)


@given(st.binary(max_size=20))
def test_a_payload_of_any_bytes_is_refused_by_name_or_routed(data):
    from gameserver.protocol.envelope import battle_of, number_of, watch_of

    whole = b'{"event":"battle:x","id":3,"payload":' + data + b"}"
    number_of(whole)
    try:
        envelope = decode_envelope(whole)
        battle_of(envelope.payload)
        watch_of(envelope.payload)
    except Refused as refused:
        assert refused.code in {"not_json", "invalid_message", "not_uuid", "nul_in_text"}


def is_uuid_by_library(text):
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


HEX = st.uuids().map(str) | st.text("0123456789abcdefAB-{}\n", min_size=35, max_size=37)


@given(HEX | st.uuids().map(lambda each: each.hex) | st.uuids().map(lambda each: str(each) + "\n") | st.text())
@example("00000000-0000-0000-0000-00000000000\N{ARABIC-INDIC DIGIT ZERO}")
def test_a_uuid_is_what_the_library_would_write(text):
    assert is_uuid(text) == is_uuid_by_library(text)
