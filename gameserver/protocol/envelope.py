"""What a client sends, structured: the envelope strictly, the payload only as far as routing needs it.

This is the hot path of every message, so it uses msgspec's typed decoder; a test holds it to the converter.
"""

import re
from collections.abc import Container
from typing import Annotated, Final

import msgspec

from gameserver.errors import Refused
from gameserver.ids import is_uuid

LARGEST_NUMBER: Final = 2**53
"""What JavaScript counts to without error."""


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    id: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class _Routed(msgspec.Struct):
    battle_id: str = msgspec.field(name="battleId")


class _Watched(msgspec.Struct, forbid_unknown_fields=True):
    battle_id: str = msgspec.field(name="battleId")
    after: int | None = None


class _Numbered(msgspec.Struct):
    id: int


NUL: Final = 0
BACKSLASH: Final = 0x5C
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""An escape is one after an even number of backslashes."""

_envelope = msgspec.json.Decoder(Envelope).decode
_routed = msgspec.json.Decoder(_Routed).decode
_watched = msgspec.json.Decoder(_Watched).decode
_numbered = msgspec.json.Decoder(_Numbered).decode


def decode_envelope(data: bytes) -> Envelope:
    """Raises Refused: not_json, invalid_message, nul_in_text."""
    if NUL in data or (BACKSLASH in data and _ESCAPED_NUL.search(data)):
        raise Refused("nul_in_text")
    try:
        return _envelope(data)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Refused("invalid_message", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("not_json", str(error)) from error


def number_of(data: bytes) -> int | None:
    """The ID of a message that is otherwise wrong, so that its error finds its way back."""
    try:
        return _numbered(data).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def battle_of(payload: msgspec.Raw, known: Container[str] = ()) -> str:
    """The battle that a payload names; an ID that is `known` is not looked at closer.

    Raises Refused: invalid_message, not_uuid.
    """
    try:
        battle_id = _routed(payload).battle_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid_message", f"payload: {error}") from error
    if battle_id not in known and not is_uuid(battle_id):
        raise Refused("not_uuid", "payload.battleId is no UUID")
    return battle_id


def watch_of(payload: msgspec.Raw) -> tuple[str, int | None]:
    """The battle to watch, and after which event; None for its present state. Raises Refused, as `battle_of`."""
    try:
        watched = _watched(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid_message", f"payload: {error}") from error
    if watched.after is not None and watched.after < 0:
        raise Refused("invalid_message", "payload.after: expected a whole number from 0")
    return battle_of(payload), watched.after
