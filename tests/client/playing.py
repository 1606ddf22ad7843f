"""A player of a game that is played by hand."""

import random

import trio
from attrs import evolve

from gameserver.client.limits import ConnectionLimits, PlayerLimits
from gameserver.client.player import Player
from tests.client.fake_game import ONE

B = "b1"


LIMITS = PlayerLimits(connection=ConnectionLimits(connect_deadline_ms=2_000, command_deadline_ms=2_000))


class Longest:
    """Every pause is as long as it may be."""

    def uniform(self, least, most):
        return most


def player_of(game, *urls, token="good", dice=None, on_event=None, **limits):
    dice, limits = dice or random.Random(5), evolve(LIMITS, **limits)
    return Player(urls or [ONE], token, limits=limits, dial=game.dial, dice=dice, on_event=on_event)


async def read(player, number):
    """The next events, as (name without its prefix, seq)."""
    found = []
    with trio.fail_after(600):
        async for event in player.events():
            found.append((event["event"].partition(":")[2], event.get("seq")))
            if len(found) == number:
                return found
    raise AssertionError("no more events")


def attacks(*seqs):
    return [("attack", seq) for seq in seqs]
