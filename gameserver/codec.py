"""The one converter: everything that comes in or is stored as JSON is structured here, strictly.

A number is never made from a text nor a text from a number, and a field that nobody asked for is an error: what a
client got wrong must not be guessed at. Classes declared with `wire_class` have camelCase keys, as the game's
clients know them; all others keep their names.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from attrs import fields, resolve_types
from cattrs import ClassValidationError, transform_error
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import make_converter

from gameserver.errors import Refused

T = TypeVar("T")

converter: Final = make_converter(forbid_extra_keys=True)


def _strict(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}")
        return value

    return structure


for _primitive in (int, str, bool):
    converter.register_structure_hook(_primitive, _strict(_primitive))
converter.register_structure_hook(Path, lambda value, _: Path(converter.structure(value, str)))

encode: Final[Callable[[Any], bytes]] = msgspec.json.Encoder().encode
"""JSON bytes of plain data, in the order of its keys: the same data always gives the same bytes."""

NOT_PLAIN: Final = (TypeError, ValueError, OverflowError, RecursionError)
"""What `encode` raises, and `copied`, for what is no plain data, such as the view of a mode that has gone wrong."""

copied: Final[Callable[[Any], Any]] = msgspec.to_builtins
"""Plain data once more, that shares nothing with what it is made of. Raises what is in `NOT_PLAIN`."""

decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder().decode
"""Plain data of JSON bytes. Raises msgspec.DecodeError."""


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def wire_class(cls: type[T]) -> type[T]:
    """Give a class camelCase keys. Idempotent; must come before the first use of the class."""
    resolve_types(cls)  # type: ignore[type-var]  # attrs types it for attrs classes only, has() is not a TypeGuard here
    overrides: dict[str, Any] = {f.name: override(rename=camel(f.name)) for f in fields(cls)}  # type: ignore[arg-type]
    structure = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **overrides)
    converter.register_structure_hook(cls, structure)
    converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **overrides))
    return cls


def hook_for(kind: Any) -> Callable[[Any], Any] | None:
    """What makes plain data of a field of this type; None if its values are plain as they are."""
    hook = converter.unstructure if kind is None else converter.get_unstructure_hook(kind)
    return None if hook is identity else hook


def structure(data: Any, cls: type[T]) -> T:
    """`data` as an instance of `cls`. Raises Refused("invalid_message") that names what does not fit."""
    try:
        return converter.structure(data, cls)
    except Exception as error:
        raise Refused("invalid_message", explain(error)) from error


def unstructure(instance: Any) -> Any:
    return converter.unstructure(instance)


def explain(error: Exception) -> str:
    if isinstance(error, ClassValidationError):
        return "; ".join(transform_error(error, path="message"))
    return str(error) or type(error).__name__


__all__ = [
    "NOT_PLAIN",
    "camel",
    "converter",
    "copied",
    "decode",
    "encode",
    "explain",
    "hook_for",
    "structure",
    "unstructure",
    "wire_class",
]
