"""One simulated player: a Player of the client library (gameserver/client/player.py) whose every answer and every event
is written down.

The library reconnects, moves, resumes and repeats. Here stands only what a proof needs to know of it, and where the
player belongs: on its own node, to which it goes back whenever it can.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio
from attrs import define, field, frozen

from gameserver.client.connection import Event
from gameserver.client.errors import Disconnected, Unanswered, Unreachable
from gameserver.client.kept_connection import Dial
from gameserver.client.limits import ConnectionLimits, PlayerLimits
from gameserver.client.player import Player
from gameserver.client.subscriptions import RESTART, UNWATCHED
from gameserver.codec import encode
from gameserver.errors import Refused
from loadtest.limits import (
    AWAY_LIMIT_MS,
    COMMAND_DEADLINE_MS,
    CONNECT_DEADLINE_MS,
    FIRST_CONNECTION_MS,
    TRY_DEADLINE_MS,
)
from loadtest.meter import Meter
from loadtest.recording import Asked, Seen
from loadtest.seating import Seat, Seating

LIMITS: Final = PlayerLimits(
    connection=ConnectionLimits(connect_deadline_ms=CONNECT_DEADLINE_MS, command_deadline_ms=TRY_DEADLINE_MS),
    first_deadline_ms=FIRST_CONNECTION_MS,
    away_limit_ms=AWAY_LIMIT_MS,
    command_deadline_ms=COMMAND_DEADLINE_MS,
)

UNCERTAIN: Final = frozenset({"internal", "command_expired"})
"""Refusals, besides the retryable ones, that leave open whether the command has run."""


@frozen
class Account:
    player_id: str
    token: str


@define(eq=False)
class SimulatedPlayer:
    """`urls`: those of all nodes, the own one first. `on_play` hears of every event of the player's battles, after it
    was recorded."""

    account: Account
    urls: Sequence[str]
    seen: Seen
    meter: Meter
    seating: Seating
    on_play: Callable[[Event], None]
    dial: Dial
    dice: random.Random
    player: Player = field(init=False)

    async def stay_connected(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled; started once there is a connection. Raises Unreachable, Refused if there is no first one."""
        on_event, token = self._record, self.account.token
        async with Player(
            self.urls, token, on_event=on_event, limits=LIMITS, dial=self.dial, dice=self.dice
        ) as self.player:
            self.seating.names[self.player.url] = self.player.hello.node
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self.seen.out_of_step = self.player.out_of_step

    @property
    def seat(self) -> Seat:
        return Seat(self.urls[0], self.player.url)

    def go_home(self) -> None:
        self.player.follow(self.urls[0])

    # -- what it asks ---------------------------------------------------------------------------------------------

    async def command(self, battle_id: str, event: str, due_at: float, **payload: Any) -> int:
        """The seq of the event that the command caused. Raises Refused (Unanswered, if nobody ever said)."""
        asked = Asked(self.player.hello.instance, self.player.next_id(), battle_id, event)
        self.seen.highest[asked.instance] = asked.number
        try:
            answer = await self.player.command(event, {"battleId": battle_id, **payload}, command_id=asked.number)
        except (Unanswered, Unreachable, Disconnected):
            self.meter.unanswered += 1
            raise Unanswered(asked.number, None) from None
        except Refused as refused:
            if not refused.retryable and refused.code not in UNCERTAIN:
                self.seen.refused.append(asked)
            raise
        self.seen.acknowledged.append((asked, answer["seq"]))
        self.meter.answered(event, due_at, crossing=self.seating.crosses(battle_id, self.player.url))
        return int(answer["seq"])

    async def watch(self, battle_id: str, after: int) -> None:
        """Have the events above `after`; joining has them come by itself. Raises Refused."""
        await self.player.watch(battle_id, after)

    @property
    def expects_events(self) -> bool:
        """Whether there is a battle whose last event has not come yet."""
        return self.player.expects_events

    # -- what it hears --------------------------------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        if event["event"] == UNWATCHED:
            self.meter.refusals[event["payload"]["code"]] += 1
        elif event["event"] == RESTART:
            stream = self.seen.stream(event["payload"]["battleId"])
            stream.restarts.append((stream.last_seq, event["seq"]))
        elif "seq" in event:
            self.meter.deliveries += 1
            self.seen.stream(event["payload"]["battleId"]).take(event["seq"], encode(event))
            self.on_play(event)
