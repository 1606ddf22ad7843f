"""Access tokens: signed, short-lived, and verified without a query. Refresh tokens: secrets that only the client keeps.

An access token names the player and the session that it was issued for. Revoking the session stops new tokens; one
that is out already ends by itself. Of a refresh token the database sees only the hash.
"""

import hashlib
import hmac
import secrets
import time
from functools import lru_cache
from typing import Final

import jwt
from attrs import frozen

from gameserver.errors import Refused

ALGORITHM: Final = "HS256"
REFRESH_TOKEN_BYTES: Final = 32
VERIFIED_LIMIT: Final = 10_000
# `iat` is not verified: the clocks of two nodes may differ by a second, and `exp` is what bounds a token's life. `exp`
# is ours to look at, each time that a token is shown.
CHECKS: Final = {"require": ["sub", "sid", "exp"], "verify_iat": False, "verify_exp": False}


@frozen
class Claims:
    """Who a valid token speaks for. `expires_at` is in Unix seconds."""

    player_id: str
    session_id: str
    expires_at: int


class Tokens:
    """All keys derive from one secret, one for each purpose, so that no value made for one passes for another.

    A signature stays good: that of a token shown again is not verified again, as long as the token is among the
    `verified_limit` shown last.
    """

    def __init__(self, secret: str, ttl_s: int, verified_limit: int = VERIFIED_LIMIT) -> None:
        self._secret, self._ttl_s = secret.encode(), ttl_s
        self._access_key = self._key("access token")
        self._opened = lru_cache(verified_limit)(self._open)

    @property
    def verified(self) -> int:
        """How many tokens are remembered."""
        return self._opened.cache_info().currsize

    def issue(self, claims: Claims) -> str:
        payload = {"sub": claims.player_id, "sid": claims.session_id, "exp": claims.expires_at, "iat": _now_s()}
        return jwt.encode(payload, self._access_key, algorithm=ALGORITHM)

    def claims(self, player_id: str, session_id: str) -> Claims:
        """For a token that is valid from now on, for `ttl_s`."""
        return Claims(player_id, session_id, _now_s() + self._ttl_s)

    def verify(self, token: str | None) -> Claims:
        """Raises Refused: token_missing, token_invalid, token_expired."""
        if not token:
            raise Refused("token_missing")
        return _still_valid(self._opened(token))

    def verify_once(self, token: str | None) -> Claims:
        """The same for a token that is shown once for long, as at a handshake: it is not remembered."""
        if not token:
            raise Refused("token_missing")
        return _still_valid(self._open(token))

    def _open(self, token: str) -> Claims:
        """Of a token that is signed, be it expired or not. Raises Refused("token_invalid"), which is not remembered."""
        try:
            payload = jwt.decode(token, self._access_key, algorithms=[ALGORITHM], options=CHECKS)  # type: ignore[arg-type]
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Refused("token_invalid") from error
        return _claims(payload)

    def refresh_token(self, idempotency_key: str | None) -> str:
        """Random; but the same for the same key, so that a client whose answer was lost can ask again."""
        if idempotency_key is None:
            return secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
        return hmac.new(self._key("refresh token"), idempotency_key.encode(), hashlib.sha256).hexdigest()

    def _key(self, purpose: str) -> bytes:
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()


def hashed(secret: str) -> bytes:
    """What the database keeps of a secret that is random enough for a plain hash."""
    return hashlib.sha256(secret.encode()).digest()


def bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header. Raises Refused("token_invalid") for another scheme than Bearer."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Refused("token_invalid")
    return token.strip()


def _still_valid(claims: Claims) -> Claims:
    if claims.expires_at <= _now_s():
        raise Refused("token_expired")
    return claims


def _claims(payload: dict[str, object]) -> Claims:
    player_id, session_id, expires_at = payload["sub"], payload["sid"], payload["exp"]
    if not (isinstance(player_id, str) and isinstance(session_id, str) and isinstance(expires_at, int)):
        raise Refused("token_invalid")
    return Claims(player_id, session_id, expires_at)


def _now_s() -> int:
    return int(time.time())
