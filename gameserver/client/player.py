"""A player of the game who stays connected: the one thing that a bot needs.

    async with Player(url, token) as player:
        await player.watch(battle_id)
        await player.attack(battle_id)
        async for event in player.events(): ...

However often the connection is lost, or moves to another node: a command takes effect once, is repeated under its ID
until it is answered, and is never overtaken by a later one to the same battle; and the events of a battle come each
once and in order. What ends it (see `ended`) is raised by commands and by `events()`.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import trio
from attrs import define

from gameserver.client.addresses import Addresses
from gameserver.client.connection import NORMAL, Event, Hello, connect
from gameserver.client.errors import Disconnected, Unanswered
from gameserver.client.game_commands import GameCommands
from gameserver.client.inbox import Inbox
from gameserver.client.kept_connection import Dial, KeptConnection, Numbers, Token
from gameserver.client.lanes import Lanes
from gameserver.client.limits import PlayerLimits
from gameserver.client.link import Link
from gameserver.client.pauses import Dice, retry_pause_s
from gameserver.client.subscriptions import Subscriptions
from gameserver.errors import GameServerError, Refused, unwrapped

UNREACHABLE_LIMIT: Final = 2
"""So many times in a row a command may be told that another node cannot be reached, until the player goes there."""

UNORDERED: Final = ("battle:watch", "ping")
"""They change nothing, so they need not wait for their turn."""


@define(eq=False)
class Asked:
    """A command until it is answered."""

    event: str
    payload: dict[str, Any]
    command_id: int | None
    tries: int = 0
    unreachable: int = 0
    refused: Refused | None = None
    """Why it has to be repeated."""


class Player(GameCommands):
    """`urls`: one or several that lead to the game. `instance` and `last_id` are those of an earlier run, for a program
    that was restarted and repeats its unanswered commands. With `on_event`, events go there, at once, and not to
    `events()`.

    Entering raises Unreachable, or Refused (the handshake).
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        token: Token,
        *,
        instance: int | None = None,
        last_id: int = 0,
        on_event: Callable[[Event], None] | None = None,
        limits: PlayerLimits | None = None,
        dial: Dial = connect,
        dice: Dice = random,
    ) -> None:
        self._limits = limits = limits or PlayerLimits()
        self._dice = dice
        self._inbox, self._lanes = Inbox(limits.events, on_event), Lanes()
        self._subscriptions = Subscriptions(self._inbox, limits, dice)
        self._numbers = Numbers(instance, last_id)
        self._kept = KeptConnection(
            Addresses([urls] if isinstance(urls, str) else urls),
            token,
            self._numbers,
            limits,
            dial,
            dice,
            on_event=self._take,
            on_connected=self._subscriptions.connected,
            on_ended=self._close_inbox,
        )
        self._commands = 0
        self._moved_at = float("-inf")
        self._opening = self._open()

    async def __aenter__(self) -> Self:
        await self._opening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._opening.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        with unwrapped():
            async with trio.open_nursery() as nursery:
                self._subscriptions.open(self._kept, nursery)
                await self._kept.open(nursery)
                try:
                    yield
                finally:
                    await self._kept.close(Disconnected(NORMAL, "left"))
                    nursery.cancel_scope.cancel()

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def hello(self) -> Hello:
        """Of the present connection, or the last one."""
        assert self._kept.current is not None, "entered"
        return self._kept.current.connection.hello

    @property
    def url(self) -> str:
        """Likewise."""
        assert self._kept.current is not None, "entered"
        return self._kept.current.url

    @property
    def ended(self) -> GameServerError | None:
        """Why there will be no other connection: Disconnected (with a code that means do not come back), Refused (the
        handshake, for good) or Unreachable."""
        return self._kept.ended

    @property
    def last_id(self) -> int:
        return self._numbers.last_id

    def last_seq(self, battle_id: str) -> int | None:
        """Of the last event of the battle that was handed to `events()`."""
        return self._subscriptions.last_seq(battle_id)

    @property
    def expects_events(self) -> bool:
        """Whether a battle is followed whose last event has not come yet."""
        return self._subscriptions.unfinished

    @property
    def caught_up(self) -> bool:
        """Whether there is a connection, and nothing that was missed before it is still on its way."""
        current = self._kept.current
        return current is not None and current.alive and not self._subscriptions.behind

    @property
    def out_of_step(self) -> int:
        """How often a connection brought an event again or left one out, against the server's word. The program never
        notices."""
        return self._subscriptions.out_of_step

    # -- what it does ---------------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[Event]:
        """What the server pushes, as on the wire, and RESTART and UNWATCHED (see subscriptions.py); until the player
        leaves. Raises `ended` after the last one."""
        return self._inbox

    def follow(self, websocket_url: str) -> None:
        """Go to this node, such as the owner of a battle (`battle["websocket_url"]`), which saves commands a hop. The
        present connection is left once there is the new one; if there is none to be had, it stays."""
        if websocket_url != self.url:
            self._kept.move(websocket_url)

    async def watch(self, battle_id: str, after: int | None = None) -> Any:
        """Have the battle's events from now on; with `after`, those above it, if the battle is not followed yet.

        `{"seq", "state"}`, or `{"seq", "recovered": true}` if the events above `after` are coming. Raises as `command`.
        """
        if not self._subscriptions.has_room(battle_id):
            raise Refused("too_many_watches")
        return await super().watch(battle_id, after)

    def next_id(self) -> int:
        """For `command(command_id=…)`: a program that keeps a record knows the ID before it asks."""
        return self._numbers.next_id()

    async def command(self, event: str, payload: dict[str, Any], *, command_id: int | None = None) -> Any:
        """Raises Refused, Unanswered, and `ended`."""
        if self._commands >= self._limits.commands:
            raise Refused("too_many_in_flight")
        self._commands += 1
        asked = Asked(event, payload, command_id)
        try:
            with trio.move_on_after(self._limits.command_deadline_ms / 1000):
                return await self._in_turn(asked)
        finally:
            self._commands -= 1
        raise Unanswered(asked.command_id if asked.tries else None, asked.refused)

    async def _in_turn(self, asked: Asked) -> Any:
        battle_id = asked.payload.get("battleId")
        free = battle_id is None or asked.event in UNORDERED
        async with nullcontext() if free else self._lanes.turn(str(battle_id)):
            if asked.command_id is None:
                asked.command_id = self._numbers.next_id()
            return await self._insist(asked)

    async def _insist(self, asked: Asked) -> Any:
        while True:
            link = await self._kept.link()
            asked.tries += 1
            heard_at = link.connection.heard_at
            hear = partial(self._answered, link, asked)
            try:
                return await link.connection.command(asked.event, asked.payload, command_id=asked.command_id, hear=hear)
            except Disconnected:
                continue
            except Refused as refused:
                if not self._may_be_repeated(asked, refused):
                    raise
                if refused.code == "deadline_exceeded":
                    await self._doubt(link, heard_at)
                asked.refused = refused
                self._look_for_owner(asked, refused)
                limits = self._limits
                pause_s = retry_pause_s(
                    refused, asked.tries - 1, limits.retry_pause_ms, limits.retry_pause_max_ms, self._dice
                )
            await trio.sleep(pause_s)

    async def _doubt(self, link: Link, heard_at: float) -> None:
        """It did not answer in time. If it has said nothing else since then, is it there at all?"""
        if link is self._kept.current and link.connection.heard_at == heard_at:
            await link.ping(self.next_id(), self._limits.ping_deadline_ms)

    def _may_be_repeated(self, asked: Asked, refused: Refused) -> bool:
        return refused.retryable or (refused.code == "watch_replaced" and asked.event == "battle:watch")

    def _look_for_owner(self, asked: Asked, refused: Refused) -> None:
        if refused.code != "owner_unreachable" or not refused.websocket_url:
            asked.unreachable = 0
            return
        asked.unreachable += 1
        now = trio.current_time()
        if asked.unreachable >= UNREACHABLE_LIMIT and now - self._moved_at >= self._limits.move_interval_ms / 1000:
            self._moved_at = now
            self.follow(refused.websocket_url)

    # -- what it hears --------------------------------------------------------------------------------------------

    def _answered(self, link: Link, asked: Asked, answer: Any) -> None:
        if asked.event == "battle:watch":
            self._subscriptions.watched(link, asked.payload["battleId"], asked.payload.get("after"), answer)
        elif asked.event == "battle:join":
            self._subscriptions.joined(link, asked.payload["battleId"], answer, again=asked.tries > 1)

    def _take(self, link: Link, event: Event) -> None:
        if event["event"] == "migrate":
            if link is self._kept.current or self._kept.current is None:
                payload = event["payload"]
                self._kept.move(payload.get("url"), payload.get("delayMs", 0) / 1000)
        elif "seq" in event:
            self._subscriptions.take(link, event)
        else:
            self._inbox.put(event)

    def _close_inbox(self, error: GameServerError) -> None:
        left = isinstance(error, Disconnected) and error.code == NORMAL and error.reason == "left"
        self._inbox.close(None if left else error)
