"""Requests that may be sent again: the same Idempotency-Key with the same request gets the same answer.

The key, a hash of the request and the event that it caused are written by the commit of that event. A retry finds them
here, or, if it comes while the first try is still running, in the memory of the actor, which knows the key as well.
Answers are made only of what does not change afterwards: of that event, or of a row as it was right after it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from gameserver.actors.ports import Accepted, Shown
from gameserver.codec import decode, encode, unstructure
from gameserver.errors import Refused
from gameserver.ids import IdempotencyKey
from gameserver.net.ports import Accounts

MOST_CHARACTERS: Final = 200
LEAST_SECRET_CHARACTERS: Final = 22  # 128 random bits in base64

Payload = Mapping[str, Any]
"""Of the public event that a request caused, in the names of the wire."""


def read_key(header: str | None) -> str | None:
    """Raises Refused("idempotency_key_invalid")."""
    if header is None:
        return None
    if not 1 <= len(header) <= MOST_CHARACTERS or not header.isascii() or not header.isprintable():
        raise Refused("idempotency_key_invalid")
    return header


def require_secret(key: str | None) -> None:
    """Where the key alone opens an account, it must be too long to be guessed. Raises Refused."""
    if key is not None and len(key) < LEAST_SECRET_CHARACTERS:
        raise Refused("idempotency_key_invalid", f"expected at least {LEAST_SECRET_CHARACTERS} random characters")


def hash_of(method: str, path: str, body: Any) -> str:
    return hashlib.sha256(encode([method, path, unstructure(body)])).hexdigest()


async def recall(accounts: Accounts, key: IdempotencyKey | None) -> Payload | None:
    """What an earlier request under this key caused; None if there was none. Raises Refused: idempotency_key_reused."""
    remembered = await accounts.remembered(key.player, key.key) if key else None
    return _payload(remembered.answer_to(key)) if key and remembered else None


async def outcome(accounts: Accounts, accepted: Accepted | Shown, key: IdempotencyKey | None) -> Payload:
    """What the request has caused, now or when it was first made. Raises Refused("command_expired") if its actor still
    knows that it was made, but nobody knows what came of it."""
    assert isinstance(accepted, Accepted)
    payload = _payload(accepted.event) if accepted.event else await recall(accounts, key)
    if payload is None:
        raise Refused("command_expired")
    return payload


def _payload(event: bytes) -> Payload:
    payload: Payload = decode(event)["payload"]
    return payload
