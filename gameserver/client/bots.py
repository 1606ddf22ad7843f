"""Players that fight by themselves: they hit, now and then guard, and wait when they are told that they must."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from gameserver.client.player import Player
from gameserver.errors import GameServerError, Refused

PAUSE_MS: Final = (700, 1_600)
GUARD_SHARE: Final = 0.15
OVER: Final = ("battle_finished", "battle_not_found", "unknown_event")


async def fight(player: Player, battle_id: str) -> None:
    """Until the battle is over or the player's connection ends for good."""
    while True:
        if not await _act(player, battle_id):
            return
        await trio.sleep(random.uniform(*PAUSE_MS) / 1000)


async def watch_end(player: Player) -> None:
    """Reads the player's events until the battle is finished: what nobody reads would pile up."""
    with until_ended(player):
        async for event in player.events():
            if event["event"] == "battle:finished":
                return


@contextmanager
def until_ended(player: Player) -> Iterator[None]:
    """What has ended the player's connection for good ends the block, and no more."""
    try:
        yield
    except GameServerError:
        if player.ended is None:
            raise


async def _act(player: Player, battle_id: str) -> bool:
    """Whether there is more to do. A refusal (no energy, not begun) just means to try again later."""
    try:
        if random.random() < GUARD_SHARE:
            await player.guard(battle_id)
        else:
            await player.attack(battle_id)
    except GameServerError as error:
        return player.ended is None and isinstance(error, Refused) and error.code not in OVER
    return True
