"""What the catalog keeps of an actor in memory: its mailbox, through all its lives here, and the present one."""

import trio
from attrs import define, field

from gameserver.actors.actor import Actor
from gameserver.actors.mailbox import Mailbox


@define(eq=False)
class Cell:
    """`settled` is set once the actor lives, or cannot; `gone`, once it has left this node; `hand_to` is the node that
    shall have it next."""

    actor_id: str
    mailbox: Mailbox
    actor: Actor | None = None
    epoch: int = 0
    hand_to: str | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    settled: trio.Event = field(factory=trio.Event)
    gone: trio.Event = field(factory=trio.Event)
