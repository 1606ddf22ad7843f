"""What every WebSocket edge asks of an opening handshake, whatever carries it: the path, the origin, the token.

A browser cannot set an Authorization header on a WebSocket, so it offers the token as a subprotocol instead
(`gameserver.v1, token.<token>`); only the first of the two is ever echoed. Identity is proven by the token alone.
"""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qs

from attrs import field, frozen

from gameserver.errors import Refused
from gameserver.net.tokens import Claims, bearer

PATHS: Final = ("/", "/ws")
SUBPROTOCOL: Final = "gameserver.v1"
OFFER_PREFIX: Final = "token."
INSTANCE_LIMIT: Final = 1 << 53
"""JavaScript keeps whole numbers below this exactly; every instance that we give out is one."""

Verify = Callable[[str | None], Claims]


@frozen
class Opening:
    """The request of a client: header names in lower case, without the one for subprotocols, which stand apart."""

    target: str
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    subprotocols: Sequence[str] = field(default=(), repr=False)

    def header(self, name: bytes) -> str | None:
        """The first value of the header. Latin-1 takes any bytes: what is wrong about them shows where it is used."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


@frozen
class Admission:
    """Who may connect, and how. `token_expires_at` is in Unix seconds; `instance` one that an earlier hello gave."""

    player_id: str
    session_id: str
    token_expires_at: int
    instance: int | None
    subprotocol: str | None


Admit = Callable[[Opening], Admission]


def admit(opening: Opening, allowed_origins: Sequence[str], verify: Verify) -> Admission:
    """Raises Refused: not_found, origin_not_allowed, invalid_message, token_missing, token_invalid, token_expired."""
    path, _, query = opening.target.partition("?")
    if path not in PATHS:
        raise Refused("not_found")
    _check_origin(opening.header(b"origin"), allowed_origins)
    instance = _instance(query)
    claims = verify(_token(opening))
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in opening.subprotocols else None
    return Admission(claims.player_id, claims.session_id, claims.expires_at, instance, subprotocol)


def _check_origin(origin: str | None, allowed: Sequence[str]) -> None:
    """Only browsers send an origin, and only they can be led to connect by a page that is not ours."""
    if origin is not None and origin not in allowed and "*" not in allowed:
        raise Refused("origin_not_allowed")


def _token(opening: Opening) -> str | None:
    token = bearer(opening.header(b"authorization"))
    if token is not None:
        return token
    offered = (text for text in opening.subprotocols if text.startswith(OFFER_PREFIX))
    return next((text.removeprefix(OFFER_PREFIX) for text in offered), None)


def _instance(query: str) -> int | None:
    """A wrong instance is refused, not replaced: under a fresh one, a command that is retried would run twice."""
    values = parse_qs(query, keep_blank_values=True).get("instance")
    if values is None:
        return None
    text = values[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and 0 < int(text) < INSTANCE_LIMIT):
        raise Refused("invalid_message", "instance: expected the whole number that an earlier hello gave")
    return int(text)
