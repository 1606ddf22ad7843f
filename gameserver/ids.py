"""Names of things: IDs are canonical UUID texts; a command's identity says who asked for what, once and for all."""

import re
import time
import uuid
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Final, NewType

from attrs import frozen
from msgspec import Struct

PlayerId = NewType("PlayerId", str)
ActorId = NewType("ActorId", str)
"""The ID of a battle or of a group; both are actors."""

NAMESPACE = uuid.UUID("6f6d1c1e-5a5b-4f9e-9c3f-7d1b6a0f2b11")


class CommandId(Struct, frozen=True, array_like=True, gc=False):
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


class Issuer:
    """Gives out what is new: it rises with the clock, and is random otherwise."""

    def __init__(self, now_ms: Callable[[], int], dice: Random) -> None:
        self._now_ms, self._dice = now_ms, dice

    def new_id(self) -> str:
        """A UUID of version 7: random, and rising with time, which keeps index pages of one hour together."""
        value = (self._now_ms() & ((1 << 48) - 1)) << 80 | self._dice.getrandbits(80)
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return str(uuid.UUID(int=value))

    def new_instance(self) -> int:
        """Milliseconds of issue above 10 random bits: rising per player, within the 53 bits that JavaScript keeps."""
        return self._now_ms() << 10 | self._dice.getrandbits(10)


_machine: Final = Issuer(lambda: time.time_ns() // 1_000_000, SystemRandom())


def new_id() -> str:
    """By this machine's clock and dice, for names that nobody has to see again in a repeated run."""
    return _machine.new_id()


def derived_id(*parts: str) -> str:
    """The same ID for the same parts: what makes a retried creation find what the first try created."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical lower-case form, the only one that we give out or take."""
    return _is_uuid(text) is not None


_is_uuid: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
