"""One player: stays connected, repeats what was not answered under the same ID, and records all that comes.

A connection that ends is replaced by another, to the next node, under the same instance, which then asks for what it
missed of every battle that has not ended. So the record of a battle is one unbroken stream, however often the
connection breaks. After a while the player goes back to its own node, so that the crews stay spread evenly.
"""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from math import inf
from typing import Any, Final

import trio
from attrs import define, field, frozen

from gameserver.client.connection import Connection, Event
from gameserver.client.errors import Disconnected, Unreachable
from gameserver.client.limits import ConnectionLimits
from gameserver.codec import encode
from gameserver.errors import Refused
from loadtest.handshake import answers
from loadtest.limits import (
    AWAY_S,
    COMMAND_DEADLINE_MS,
    COMMAND_TRIES,
    CONNECT_DEADLINE_MS,
    FOLLOWED_WITHIN_S,
    RECONNECT_PAUSE_MAX_S,
    RETRY_PAUSE_S,
)
from loadtest.meter import Meter
from loadtest.recording import Asked, Seen
from loadtest.seating import Seat, Seating
from loadtest.swarm import Swarm

LIMITS: Final = ConnectionLimits(connect_deadline_ms=CONNECT_DEADLINE_MS, command_deadline_ms=COMMAND_DEADLINE_MS)

CLOSINGS: Final = 2
"""The last events of a battle: each group has heard of its end."""

UNCERTAIN: Final = frozenset({"internal", "command_expired"})
"""Refusals, besides the retryable ones, that leave open whether the command has run."""


class Unanswered(Exception):
    """A command got no answer however often it was repeated."""


@frozen
class Account:
    player_id: str
    token: str


@frozen
class Followed:
    """A battle that has not ended yet: the seq of one's own joining, and whether that event has come."""

    joined_at: int
    arrived: trio.Event = field(factory=trio.Event)


@define(eq=False)
class SimulatedPlayer:
    """`on_play` hears of every event of the player's battles, after it was recorded."""

    account: Account
    seat: Seat
    seen: Seen
    meter: Meter
    seating: Seating
    on_play: Callable[[Event], None]
    dice: random.Random
    _player: Connection | None = None
    _instance: int | None = None
    _last_id: int = 0
    _ready: trio.Event = field(factory=trio.Event)
    _following: dict[str, Followed] = field(factory=dict)
    _heard_over: dict[str, Connection | None] = field(factory=dict)
    """The connection over which a battle's last event came."""
    _closings: Counter[str] = field(factory=Counter)

    # -- the connection -------------------------------------------------------------------------------------------

    async def stay_connected(self, swarm: Swarm, connecting: trio.CapacityLimiter) -> None:
        """Until cancelled."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    async with connecting:
                        opening = swarm.connect(
                            self.seat.url, self.account.token, self._instance, on_event=self._record, limits=LIMITS
                        )
                        player = await stack.enter_async_context(opening)
                    await self._stay_with(player)
                    self.meter.reconnects += 1
                    if player.lost is None:
                        self.seat.go_home()
                        continue
                    self.meter.closings[f"{player.lost.code} {player.lost.reason}"] += 1
            except Refused as refused:
                self.meter.refusals[refused.code] += 1
            except (Disconnected, Unreachable):
                pass
            finally:
                self._player = None
                if self._ready.is_set():
                    self._ready = trio.Event()
            self.seat.move_on()
            await trio.sleep(self.dice.uniform(0, RECONNECT_PAUSE_MAX_S))

    async def _stay_with(self, player: Connection) -> None:
        """Until the connection ends, or the player's own node takes it back. Raises Refused, Disconnected."""
        self._player, self._instance = player, player.hello.instance
        self.seating.names[self.seat.url] = player.hello.node
        for battle_id in tuple(self._following):
            if battle_id in self._following:  # while asking for one, another may have come to its end
                await self._watch(player, battle_id)
        self._ready.set()
        while True:
            with trio.move_on_after(AWAY_S if self.seat.away else inf):
                async for _ in player.events():  # all of them go to `_record`; this ends with the connection
                    pass
                return
            if await answers(self.seat.home_url):
                return

    def _record(self, event: Event) -> None:
        # An announcement of a battle that one may join is not part of that battle's stream.
        if "seq" not in event or event["event"] == "battle:created":
            return
        self.meter.deliveries += 1
        battle_id = event["payload"]["battleId"]
        self.seen.stream(battle_id).take(event["seq"], encode(event))
        self._heard_over[battle_id] = self._player
        if battle_id in self._following:
            self._following[battle_id].arrived.set()
        if event["event"] == "battle:settled":
            self._close(battle_id, event["payload"]["intentionId"])
        self.on_play(event)

    def _close(self, battle_id: str, intention_id: str) -> None:
        self._closings[battle_id] += intention_id.startswith("close:")
        if self._closings[battle_id] == CLOSINGS:
            self._following.pop(battle_id, None)
            del self._closings[battle_id], self._heard_over[battle_id]

    @property
    def waits_for_more(self) -> bool:
        """Whether there is a battle whose last event has not come yet."""
        return bool(self._following)

    async def connected(self) -> Connection:
        while self._player is None or not self._ready.is_set():
            await self._ready.wait()
        return self._player

    # -- commands -------------------------------------------------------------------------------------------------

    async def command(self, battle_id: str, event: str, due_at: float, **payload: Any) -> int:
        """The seq of the event that the command caused. Raises Refused (for good), Unanswered."""
        await self.connected()
        assert self._instance is not None, "connected"
        asked = Asked(self._instance, self._next_id(), battle_id, event)
        for _ in range(COMMAND_TRIES):
            player = await self.connected()
            crossing = self.seating.crosses(battle_id, self.seat.url)
            try:
                answer = await player.command(event, {"battleId": battle_id, **payload}, command_id=asked.number)
            except Disconnected:
                pass
            except Refused as refused:
                self._refused(asked, refused)
            else:
                self.seen.acknowledged.append((asked, answer["seq"]))
                self.meter.answered(event, due_at, crossing=crossing)
                return int(answer["seq"])
            await trio.sleep(RETRY_PAUSE_S)
        self.meter.unanswered += 1
        raise Unanswered

    def _refused(self, asked: Asked, refused: Refused) -> None:
        """Raises it again if repeating the command would not help."""
        self.meter.refusals[refused.code] += 1
        if refused.retryable:
            return
        if refused.code not in UNCERTAIN:
            self.seen.refused.append(asked)
        raise refused

    def _next_id(self) -> int:
        assert self._instance is not None, "connected"
        self._last_id += 1
        self.seen.highest[self._instance] = self._last_id
        return self._last_id

    # -- following a battle -----------------------------------------------------------------------------------------

    async def follow(self, battle_id: str, joined_at: int, *, subscribed: bool = True) -> None:
        """See to it that the events from one's own joining on come. Joining subscribes the connections of that moment;
        one that was made before the battle was followed, or that broke just then, has to ask."""
        player = await self.connected()
        followed = self._following[battle_id] = Followed(joined_at)
        if self._heard_over.get(battle_id) is player:
            return
        if subscribed and battle_id not in self._heard_over:
            with trio.move_on_after(FOLLOWED_WITHIN_S):
                await followed.arrived.wait()
        for _ in range(COMMAND_TRIES):
            # A connection that was made since has asked for all that is followed, as its first thing.
            if followed.arrived.is_set() or await self.connected() is not player:
                return
            try:
                await self._watch(player, battle_id)
            except Disconnected:
                return
            except Refused as refused:
                self.meter.refusals[refused.code] += 1
                await trio.sleep(RETRY_PAUSE_S)
            else:
                return

    async def _watch(self, player: Connection, battle_id: str) -> None:
        """Asks for what has not come yet. Raises Refused, Disconnected."""
        stream = self.seen.stream(battle_id)
        after = max(stream.last_seq, self._following[battle_id].joined_at - 1)
        payload = {"battleId": battle_id, "after": after}
        answer = await player.command("battle:watch", payload, command_id=self._next_id())
        if not answer.get("recovered"):
            stream.restarts.append((after, answer["seq"]))
