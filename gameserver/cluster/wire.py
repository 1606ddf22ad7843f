"""How nodes say it to each other: items, several to a packet, in the order in which they were said.

    packet  MessagePack array: the sender's name, then the items
    item    MessagePack array: its tag, then its fields

An item is encoded once, also if it goes to many nodes. Commands are a closed union: what is not in the table below is
not taken. The lines of events are the very bytes that the journal holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import astuple

from gameserver.actors.messages import Birth, Inspect, Play, Show, Wake
from gameserver.actors.ports import Accepted, Answer, Shown
from gameserver.cluster import items
from gameserver.cluster.items import Item, Request, Response
from gameserver.codec import structure, unstructure
from gameserver.errors import Refused
from gameserver.game import commands
from gameserver.game.machine import IntentionSettled
from gameserver.ids import CommandId, IdempotencyKey, Identity, PlayerId

pack: Final[Callable[[Any], bytes]] = msgspec.msgpack.Encoder().encode
unpack: Final[Callable[[bytes], Any]] = msgspec.msgpack.Decoder().decode


def encode_item(item: Item) -> bytes:
    if isinstance(item, Request):
        return pack(_said_request(item))
    if isinstance(item, Response):
        return _encode_response(item)
    return pack([type(item).__name__, *astuple(item, recurse=False)])


def join_items(sender: str, encoded: Sequence[bytes]) -> bytes:
    """The packet of items that are encoded already."""
    return b"\xdd" + (len(encoded) + 1).to_bytes(4, "big") + pack(sender) + b"".join(encoded)


def decode_packet(packet: bytes) -> tuple[str, list[Item]]:
    """The sender and what it says.

    Raises msgspec.DecodeError, LookupError, TypeError, ValueError, Refused: from a node of another version, or from no
    node at all.
    """
    sender, *said = unpack(packet)
    return sender, [_decode_item(*item) for item in said]


def _decode_item(tag: str, *said: Any) -> Item:
    if tag == "Request":
        return _hear_request(*said)
    if tag == "Response":
        return Response(said[0], _hear_answer(*said[1:]))
    return _PLAIN[tag](*said)


_PLAIN: Final[Mapping[str, Callable[..., Item]]] = {
    cls.__name__: cls
    for cls in (
        items.Events,
        items.Watching,
        items.NotHere,
        items.Activated,
        items.Look,
        items.Missed,
        items.Goodbye,
        items.DrainAsked,
        items.OutboxFilled,
        items.BattleCreated,
        items.PlayerJoined,
        items.LoginRevoked,
        items.PlayerDisconnected,
    )
}

# -- requests -------------------------------------------------------------------------------------------------------

_COMMANDS: Final[Mapping[str, type]] = {
    cls.__name__: cls
    for cls in (
        Show,
        Inspect,
        Wake,
        IntentionSettled,
        commands.CreateBattle,
        commands.Join,
        commands.Begin,
        commands.Finish,
        commands.CreateGroup,
        commands.JoinGroup,
        commands.LeaveGroup,
        commands.IntendBattle,
        commands.OpenBattle,
        commands.CloseBattle,
    )
}


def _said_request(request: Request) -> list[Any]:
    command, birth = request.command, request.birth
    if type(command) is Play:  # by far the most of them, and its payload is bytes
        tag, said = "Play", [command.name, command.payload, command.player_id]
    else:
        tag, said = type(command).__name__, unstructure(command)
        assert tag in _COMMANDS, f"{tag} does not travel"
    return [
        "Request",
        request.origin,
        request.number,
        request.hops,
        request.named,
        request.expires_at_ms,
        request.watching,
        request.actor_id,
        tag,
        said,
        _say_identity(request.identity),
        None if birth is None else (birth.kind, birth.mode),
    ]


def _hear_request(*said: Any) -> Request:
    origin, number, hops, named, expires_at_ms, watching, actor_id, tag, asked, identity, birth = said
    return Request(
        origin=origin,
        number=number,
        hops=hops,
        named=named,
        expires_at_ms=expires_at_ms,
        watching=watching,
        actor_id=actor_id,
        command=Play(*asked) if tag == "Play" else structure(asked, _COMMANDS[tag]),
        identity=_hear_identity(identity),
        birth=None if birth is None else Birth(*birth),
    )


def _say_identity(identity: Identity | None) -> tuple[Any, ...] | None:
    return None if identity is None else astuple(identity)


def _hear_identity(said: list[Any] | None) -> Identity | None:
    """The two kinds of identity differ in their second field: a number, or the caller's key."""
    if said is None:
        return None
    player, second, third = said
    if isinstance(second, int):
        return CommandId(PlayerId(player), second, third)
    return IdempotencyKey(PlayerId(player), second, third)


# -- responses ------------------------------------------------------------------------------------------------------


def _encode_response(response: Response) -> bytes:
    answer = response.answer
    try:
        return pack(["Response", response.number, *_say_answer(answer)])
    except (TypeError, ValueError, OverflowError, RecursionError):  # a mode's view that is no plain data
        return pack(["Response", response.number, *_say_answer(Refused("rules_failed"))])


def _say_answer(answer: Answer) -> tuple[Any, ...]:
    if isinstance(answer, Accepted):
        return "accepted", answer.seq, answer.event
    if isinstance(answer, Shown):
        return "shown", answer.seq, answer.view
    refused = answer if isinstance(answer, Refused) else Refused("internal")
    return "refused", refused.code, refused.message, refused.retry_after_ms, refused.websocket_url


def _hear_answer(tag: str, *said: Any) -> Answer:
    if tag == "accepted":
        return Accepted(*said)
    if tag == "shown":
        return Shown(*said)
    code, message, retry_after_ms, websocket_url = said
    return Refused(code, message, retry_after_ms=retry_after_ms, websocket_url=websocket_url)
