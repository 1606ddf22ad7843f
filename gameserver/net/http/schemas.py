"""JSON Schemas of the types that bodies, queries and answers are made of; attrs classes by name, the rest in place."""

import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any, Final, Literal

from attrs import NOTHING, Attribute, fields, has, resolve_types

from gameserver.net.http.answers import Time
from gameserver.net.http.bodies import Uuid
from gameserver.net.http.paging import Page

PLAIN: Final[dict[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
    Uuid: {"type": "string", "format": "uuid"},
    Time: {"type": "string", "format": "date-time"},
}


class Schemas:
    """`found` gathers the attrs classes that came up, for the document's components."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        if kind in PLAIN:
            return PLAIN[kind]
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is None:
            return self._named(kind)
        return self._composed(origin, arguments)

    def _composed(self, origin: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in {types.UnionType, typing.Union}:
            return {"anyOf": [self.of(each) for each in arguments]}
        if origin in {list, Sequence}:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        assert origin is Page, f"no schema for {origin}"
        return self._page(arguments[0])

    def _named(self, kind: type) -> dict[str, Any]:
        assert has(kind), f"no schema for {kind}"
        name = kind.__name__
        if name not in self.found:
            self.found[name] = {}  # so that a class that holds itself ends here
            self.found[name] = self._object(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, kind: type) -> dict[str, Any]:
        resolve_types(kind)
        attributes: Sequence[Attribute[Any]] = fields(kind)
        schema = {
            "type": "object",
            "properties": {each.name: self.of(each.type) for each in attributes},
            "required": [each.name for each in attributes if each.default is NOTHING],
            "additionalProperties": False,
        }
        return {"description": inspect.getdoc(kind), **schema} if _documented(kind) else schema

    def _page(self, item: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": self.of(item)},
                "next_cursor": {"type": ["string", "null"]},
            },
            "required": ["items", "next_cursor"],
        }


def _documented(kind: type) -> bool:
    """Whether somebody wrote a docstring: attrs and Python make one where there is none."""
    text = kind.__doc__ or ""
    return bool(text) and not text.startswith(("Method generated", f"{kind.__name__}("))
