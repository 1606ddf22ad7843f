"""Why a message was not taken: what ended an actor's life, in the words of whoever sent the message."""

from collections.abc import Mapping
from typing import Final

from gameserver.actors.messages import Message, Show
from gameserver.errors import (
    ActorNotFound,
    ActorSetAside,
    LeaseLost,
    OutcomeUnknown,
    Refused,
    StorageUnavailable,
)
from gameserver.game.commands import CloseBattle, IntendBattle, JoinGroup, LeaveGroup, OpenBattle

_CODES: Final[Mapping[type[Exception], str]] = {
    ActorSetAside: "actor_set_aside",
    LeaseLost: "storage_unavailable",
    StorageUnavailable: "storage_unavailable",
    OutcomeUnknown: "storage_unavailable",
}


def refusal(end: Exception, message: Message) -> Refused:
    """Why a message was not taken, in the words of its sender."""
    if isinstance(end, Refused):
        return end
    if isinstance(end, ActorNotFound):
        to_group = isinstance(message.command, JoinGroup | LeaveGroup | IntendBattle | OpenBattle | CloseBattle)
        if isinstance(message.command, Show):
            to_group = message.command.kind == "group"
        return Refused("group_not_found" if to_group else "battle_not_found")
    return Refused(_CODES.get(type(end), "internal"))
