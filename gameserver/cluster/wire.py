"""How nodes say it to each other: items, several to a packet, in the order in which they were said.

    packet  MessagePack array: the sender's name, and an array of items
    item    MessagePack array: the name of its class, then its fields

An item is encoded once, also if it goes to many nodes, and a packet is decoded in one go, straight into items: it is
taken as a whole or not at all.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import msgpack

from gameserver.cluster.items import Item, Refusal, Response
from gameserver.errors import Refused

pack: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder(tuple[str, list[Item]]).decode


def encode_item(item: Item) -> bytes:
    try:
        return pack(item)
    except (TypeError, ValueError, OverflowError, RecursionError):
        if not isinstance(item, Response):
            raise
        return pack(Response(item.number, Refusal.of(Refused("rules_failed"))))  # a mode's view is no plain data


def join_items(sender: str, encoded: Sequence[bytes]) -> bytes:
    """The packet of items that are encoded already."""
    return b"".join((b"\x92", pack(sender), b"\xdd", len(encoded).to_bytes(4, "big"), *encoded))


def decode_packet(packet: bytes) -> tuple[str, list[Item]]:
    """The sender and what it says.

    Raises msgspec.DecodeError, LookupError, Refused: from a node of another version, or from no node at all.
    """
    return _decode(packet)
