"""Python's values as the parameters of a statement: what libpq sends for them.

A statement says what its parameters are (`$1::uuid[]`, or the column that one is compared with), so nothing is asked of
PostgreSQL but to read a text, as it does with a literal. Bytes alone go as they are: as text they would be twice as
long. A list or a tuple is an array of one dimension.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from psycopg.pq import Format

Sent = tuple[bytes | None, Format]
"""What is sent for a parameter."""
Array = list[Any] | tuple[Any, ...]
Parameters = tuple[list[bytes | None], list[Format]]
"""The same for all, as libpq wants it."""

TEXT, BINARY = Format.TEXT, Format.BINARY  # looked up once: an enum's members take their time
BYTEA: Final = 17
ARRAY_HEADER: Final = struct.Struct("!iiIii")
LENGTH: Final = struct.Struct("!i")
NULL: Final = LENGTH.pack(-1)


def parameters(values: Iterable[Any]) -> Parameters:
    """Raises ValueError for a text that PostgreSQL cannot hold: with a NUL, or half a surrogate pair."""
    contents: list[bytes | None] = []
    formats: list[Format] = []
    for value in values:
        content, form = _SENT[type(value)](value)
        contents.append(content)
        formats.append(form)
    return contents, formats


def _text(text: str) -> Sent:
    if "\0" in text:  # libpq would take it for the end
        raise ValueError("a NUL in a text")
    return text.encode(), TEXT


def _array(values: Array) -> Sent:
    first = values[0] if values else None
    if first is None:
        first = next((value for value in values if value is not None), None)
    return _ARRAYS[type(first)](values)


def _array_of_bytes(values: Array) -> Sent:
    parts = [ARRAY_HEADER.pack(1, None in values, BYTEA, len(values), 1)]
    for each in values:
        parts += (NULL,) if each is None else (LENGTH.pack(len(each)), each)
    return b"".join(parts), BINARY


def _array_of_numbers(values: Array) -> Sent:
    """What has strayed in, a text say, PostgreSQL does not take for a number: it comes in quotes."""
    texts = map(repr, values) if None not in values else ["NULL" if each is None else repr(each) for each in values]
    return _text("{" + ",".join(texts) + "}")


def _array_of_texts(values: Array) -> Sent:
    if None not in values:
        joined = '","'.join(values)
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):  # as IDs are: nothing to be quoted
            return _text(f'{{"{joined}"}}')
    return _text("{" + ",".join(["NULL" if each is None else _quoted(each) for each in values]) + "}")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ARRAYS: Final[Mapping[type, Callable[[Array], Sent]]] = {
    type(None): _array_of_numbers,
    bool: _array_of_numbers,
    int: _array_of_numbers,
    float: _array_of_numbers,
    str: _array_of_texts,
    bytes: _array_of_bytes,
}
"""By the type of the first element."""

_SENT: Final[Mapping[type, Callable[[Any], Sent]]] = {
    type(None): lambda _: (None, TEXT),
    bool: lambda value: (b"t" if value else b"f", TEXT),
    int: lambda value: (b"%d" % value, TEXT),
    float: lambda value: (str(value).encode(), TEXT),
    str: _text,
    bytes: lambda value: (value, BINARY),
    list: _array,
    tuple: _array,
}
