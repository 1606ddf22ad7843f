"""Request bodies and queries, from what a client sent to attrs objects: strictly, with a code for every mistake."""

import typing
from collections.abc import Iterator
from typing import Any, NewType, TypeVar

import msgspec
from attrs import fields, resolve_types
from werkzeug.datastructures import MultiDict

from gameserver.codec import converter, decode, structure
from gameserver.errors import Refused
from gameserver.ids import is_uuid
from gameserver.net.http.route import Nothing

T = TypeVar("T")

Uuid = NewType("Uuid", str)
"""In a body or a query: a UUID in its canonical form."""


def _structure_uuid(value: Any, _: Any) -> Uuid:
    if not isinstance(value, str) or not is_uuid(value):
        raise ValueError("expected a UUID in lower case")
    return Uuid(value)


converter.register_structure_hook_func(lambda kind: kind is Uuid, _structure_uuid)


def read_body(data: bytes, media_type: str, cls: type[T]) -> T:
    """Raises Refused: unsupported_media_type, not_json, nul_in_text, invalid_message."""
    if not data and cls is Nothing:
        return cls()
    if data and media_type != "application/json":
        raise Refused("unsupported_media_type")
    plain = read_json(data)
    if not isinstance(plain, dict):
        raise Refused("not_json")
    return structure(plain, cls)


def read_json(data: bytes) -> Any:
    """Raises Refused: not_json, nul_in_text."""
    if b"\x00" in data:
        raise Refused("nul_in_text")
    try:
        plain = decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("not_json") from error
    if b"\\u0000" in data and any("\x00" in text for text in _texts(plain)):  # the bytes alone might say "\\u0000"
        raise Refused("nul_in_text")
    return plain


def _texts(plain: Any) -> Iterator[str]:
    """All texts in JSON data, keys too; without recursion, since a client chose how deep it is nested."""
    waiting = [plain]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item


def read_query(given: MultiDict[str, str], cls: type[T]) -> T:
    """A parameter that is there but empty counts as not given. Raises Refused: nul_in_text, invalid_message."""
    kinds = field_kinds(cls)
    plain: dict[str, Any] = {}
    for name, values in given.lists():
        if any("\x00" in text for text in (name, *values)):
            raise Refused("nul_in_text")
        if len(values) > 1:
            raise Refused("invalid_message", f"{name}: given more than once")
        if values[0] or name not in kinds:
            plain[name] = _number(values[0]) if int in kinds.get(name, ()) else values[0]
    return structure(plain, cls)


def field_kinds(cls: type) -> dict[str, tuple[Any, ...]]:
    """The types that each field of an attrs class may have."""
    resolve_types(cls)
    return {f.name: typing.get_args(f.type) or (f.type,) for f in fields(cls)}


def _number(text: str) -> int | str:
    """A small whole number; anything else stays a text, and is refused as one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
