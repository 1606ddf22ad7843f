"""Names of things: IDs are canonical UUID texts; a command's identity says who asked for what, once and for all."""

import os
import time
import uuid
from typing import NewType

from attrs import frozen

PlayerId = NewType("PlayerId", str)
ActorId = NewType("ActorId", str)
"""The ID of a battle or of a group; both are actors."""

NAMESPACE = uuid.UUID("6f6d1c1e-5a5b-4f9e-9c3f-7d1b6a0f2b11")


@frozen
class CommandId:
    """Identity of a command over WebSocket: the client's rising `number` within its `instance`.

    An instance is what `hello` gave the connection: rising in the order of issue, so that an actor can tell
    an instance that it has forgotten from one that it has never seen.
    """

    player: PlayerId
    instance: int
    number: int


@frozen
class IdempotencyKey:
    """Identity of an unsafe HTTP request: the caller's key, and a hash of what was asked under it."""

    player: PlayerId
    key: str
    request_hash: str


Identity = CommandId | IdempotencyKey


def new_id() -> str:
    """A UUID of version 7: random, and rising with time, which keeps index pages of one hour together."""
    millis = time.time_ns() // 1_000_000
    value = (millis & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def derived_id(*parts: str) -> str:
    """The same ID for the same parts: what makes a retried creation find what the first try created."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))


def new_instance() -> int:
    """Milliseconds of issue above 10 random bits: rising per player, and within the 53 bits that JavaScript keeps."""
    return time.time_ns() // 1_000_000 << 10 | int.from_bytes(os.urandom(2), "big") & 0x3FF


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical lower-case form, the only one that we give out or take."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
