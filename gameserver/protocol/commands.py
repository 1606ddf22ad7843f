"""The commands of a mode, from the bytes of their payload.

A payload is structured by the converter, strictly; `playerId` is the proven identity of the sender, whatever the client
says, and `battleId` was for routing. That is slow for what comes with every command, so where all fields are texts,
numbers and flags, msgspec's typed decoder is asked first: what it takes the converter would take, too, and what it does
not take the converter takes, or refuses by name. A test holds one to the other.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec
from attrs import NOTHING, Attribute, fields

from gameserver.codec import camel, decode, structure, wire_class
from gameserver.errors import Refused

Read = Callable[[bytes, str], Any]
"""A command from its payload and its sender."""

PLAIN: Final = frozenset({str, int, bool, NoneType})


class CommandCodec:
    """The commands of one mode, by their names on the wire."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self._read = {name: _reader(wire_class(cls)) for name, cls in classes.items()}

    def decode(self, name: str, payload: bytes, player_id: str) -> Any:
        """Raises Refused: unknown_event, not_json, invalid_message."""
        read = self._read.get(name)
        if read is None:
            raise Refused("unknown_event")
        return read(payload, player_id)


def _reader(cls: type[Any]) -> Read:
    def read(payload: bytes, player_id: str) -> Any:
        return _structured(payload, player_id, cls)

    return _quick_reader(cls, read) if all(map(_is_simple, fields(cls))) else read


def _structured(payload: bytes, player_id: str, cls: type[Any]) -> Any:
    try:
        data = decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("not_json", str(error)) from error
    if not isinstance(data, dict):
        raise Refused("invalid_message", "payload: expected an object")
    data.pop("battleId", None)
    data["playerId"] = player_id
    return structure(data, cls)


# -- quickly ----------------------------------------------------------------------------------------------------------


def _is_simple(attribute: "Attribute[Any]") -> bool:
    positional = attribute.init and not attribute.kw_only and camel(attribute.name) != "battleId"
    default = attribute.default
    return positional and _is_plain(attribute.type) and (default is NOTHING or type(default) in PLAIN)


def _is_plain(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return all(map(_is_plain, get_args(kind)))
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return kind in PLAIN


def _quick_reader(cls: type[Any], read_by_converter: Read) -> Read:
    keys = [camel(f.name) for f in fields(cls)]
    asked = [_typed(f) for f in fields(cls) if f.name != "player_id"]
    ignored = [("battleId", Any, None), ("playerId", Any, None)]
    payload_class = msgspec.defstruct(
        cls.__name__, [*asked, *ignored], forbid_unknown_fields=True, kw_only=True, gc=False
    )
    decode_payload: Callable[[bytes], Any] = msgspec.json.Decoder(payload_class).decode
    values = attrgetter(*keys) if len(keys) > 1 else lambda asked: (asked.playerId,)

    def read(payload: bytes, player_id: str) -> Any:
        try:
            asked = decode_payload(payload)
            asked.playerId = player_id
            return cls(*values(asked))
        except Exception:  # noqa: BLE001  # what is wrong, or whether anything is, the converter says
            return read_by_converter(payload, player_id)

    return read


def _typed(attribute: "Attribute[Any]") -> tuple[str, Any] | tuple[str, Any, Any]:
    key, kind, default = camel(attribute.name), attribute.type, attribute.default
    return (key, kind) if default is NOTHING else (key, kind, default)
