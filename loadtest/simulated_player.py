"""One player: stays connected, repeats what was not answered under the same ID, and records all that comes.

A connection that ends is replaced by another under the same instance, which then asks for what it missed of every battle
that has not ended. So the record of a battle is one unbroken stream, however often the connection breaks.
"""

import random
from collections.abc import Callable
from typing import Any, Final

import trio
from attrs import define, field, frozen

from gameserver.client.errors import Disconnected, Unreachable
from gameserver.client.limits import PlayerLimits
from gameserver.client.player import Event, Player, connect
from gameserver.codec import encode
from gameserver.errors import Refused
from loadtest.limits import COMMAND_DEADLINE_MS, CONNECT_DEADLINE_MS, RECONNECT_PAUSE_MAX_S, RETRY_PAUSE_S, TRIES
from loadtest.meter import Meter
from loadtest.recording import Asked, Seen

LIMITS: Final = PlayerLimits(connect_deadline_ms=CONNECT_DEADLINE_MS, command_deadline_ms=COMMAND_DEADLINE_MS)
UNCERTAIN: Final = ("internal", "command_expired")
"""Refusals that do not say whether the command has run, besides the retryable ones."""


@frozen
class Account:
    player_id: str
    token: str


@define(eq=False)
class SimulatedPlayer:
    """`on_play` hears of every event in the player's battles, after it was recorded."""

    account: Account
    seen: Seen
    meter: Meter
    on_play: Callable[[Event], None]
    dice: random.Random = field(factory=random.Random)
    _player: Player | None = None
    _instance: int | None = None
    _last_id: int = 0
    _ready: trio.Event = field(factory=trio.Event)
    _open: set[str] = field(factory=set)

    # -- the connection -------------------------------------------------------------------------------------------

    async def stay_connected(self, url: str, connecting: trio.CapacityLimiter) -> None:
        """Until cancelled."""
        while True:
            try:
                async with connecting:
                    opening = connect(
                        url,
                        self.account.token,
                        self._instance,
                        last_id=self._last_id,
                        on_event=self._record,
                        limits=LIMITS,
                    )
                    player = await opening.__aenter__()
                try:
                    await self._live(player)
                finally:
                    await opening.__aexit__(None, None, None)
            except (Disconnected, Unreachable, Refused, OSError) as error:
                self.meter.refusals[error.code if isinstance(error, Refused) else "disconnected"] += 1
            self.meter.reconnects += 1
            await trio.sleep(self.dice.uniform(0, RECONNECT_PAUSE_MAX_S))

    async def _live(self, player: Player) -> None:
        pass
