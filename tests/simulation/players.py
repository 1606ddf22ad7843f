"""Strict little players: the real client library over wires. They play real modes, and remember what they were told."""

from random import Random
from typing import TYPE_CHECKING, Any

import trio
from attrs import Factory, define, field

from gameserver.client.connection import Event
from gameserver.client.limits import ConnectionLimits, PlayerLimits
from gameserver.client.player import Player
from gameserver.client.subscriptions import RESTART, UNWATCHED
from gameserver.errors import GameServerError, Refused
from tests.simulation.checkers import CommandName, PlayersGetOn

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

LIMITS = PlayerLimits(
    connection=ConnectionLimits(connect_deadline_ms=400, command_deadline_ms=1_000),
    first_deadline_ms=60_000,
    command_deadline_ms=60_000,
    reconnect_pause_ms=50,
    reconnect_pause_max_ms=400,
    steady_ms=1_000,
    retry_pause_max_ms=300,
    ping_interval_ms=1_500,
    leave_deadline_ms=300,
    move_interval_ms=500,
)
"""They are patient: a command that is never answered breaks a promise."""

FITTING_REFUSALS = {"already_joined", "battle_finished", "battle_not_running", "no_energy"}
ACTIONS_PER_S = 2.0
TIMER_SHARE, TIMER_MS = 0.15, (100, 3_000)


@define(eq=False)
class Bot:
    """One tab of a player, in one battle; whoever does not fight looks on."""

    name: str
    player_id: str
    battle_id: str
    mode: str
    world: "Simulation"
    dice: Random
    fights: bool
    stopped: bool = False
    finished: bool = False
    asking: bool = False
    slow_until: float = 0.0
    actions: int = 0
    accepted: list[tuple[CommandName, int, str]] = Factory(list)
    """What it was told of its commands: which, the seq, and what it had done."""
    player: Player = field(init=False)
    left: trio.Event = Factory(trio.Event)

    async def run(self) -> None:
        urls = [f"ws://{name}" for name in self.world.faults.nodes]
        self.dice.shuffle(urls)
        seams = {"dial": self.world.net.dial, "dice": self.dice, "on_event": self._see}
        async with Player(urls, self.name, limits=LIMITS, **seams) as self.player:
            if self.fights:
                await self._ask("battle:join", {})
            if self.player.last_seq(self.battle_id) is None:  # looking on; or the other tab has joined before
                await self.player.watch(self.battle_id)
            while self.fights and not (self.stopped or self.finished):
                await self.act()
                await trio.sleep(self.dice.expovariate(ACTIONS_PER_S))
            await self.left.wait()

    # -- what it does -------------------------------------------------------------------------------------------------

    async def act(self) -> None:
        self.actions += 1
        if self.mode != "nasty":
            await self._ask(self.dice.choice(("battle:attack", "battle:attack", "battle:guard")), {})
        elif self.dice.random() < TIMER_SHARE:
            await self._ask("battle:do", {"what": "timer", "ms": self.dice.randrange(*TIMER_MS)})
        else:
            await self._ask("battle:do", {"what": f"{self.name} {self.actions}"})

    async def _ask(self, event: str, payload: dict[str, Any]) -> None:
        number = self.player.next_id()
        name = self.battle_id, self.player_id, self.player.hello.instance, number
        body = {"battleId": self.battle_id, **payload}
        self.asking = True
        try:
            answer = await self.player.command(event, body, command_id=number)
        except Refused as refused:
            self.world.history.note(self.name, f"has failed with {number}: {refused.code}")
            if refused.code not in FITTING_REFUSALS:
                self._complain(f"{event} {number}: {refused!r}")
        except GameServerError as error:
            self._complain(f"{event} {number}: {error!r}")
        else:
            self.accepted.append((name, answer["seq"], payload.get("what", event)))
        self.asking = False

    # -- what it sees -------------------------------------------------------------------------------------------------

    def _see(self, event: Event) -> None:
        streams = self.world.observers.streams
        if event["event"] == RESTART:
            self.world.history.note(self.name, f"starts again from {event['seq']}")
            streams.begins(self.name, self.battle_id, event["seq"])
        elif event["event"] == UNWATCHED:
            self._complain(f"no more events: {event}")
        elif "seq" in event:
            streams.saw(self.name, self.battle_id, event["seq"])
            self.finished |= event["event"] == "battle:finished"

    @property
    def caught_up(self) -> bool:
        return self.player.last_seq(self.battle_id) == self.world.observers.ledger.last_seq(self.battle_id)

    def _complain(self, of: str) -> None:
        self.world.broken.add(PlayersGetOn, f"{self.name}: {of}")
