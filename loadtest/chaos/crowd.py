"""The players: crews that fight without end, or one brief battle after the other, each player on a fixed schedule.

A crew of five at one command every two seconds each has a command about every 0.4 s: one is under way, or being
repeated, at any moment at which its battle might accept it.
"""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import trio
from attrs import define, field, frozen

from gameserver.client.connection import Event
from gameserver.errors import Refused
from loadtest.chaos.limits import BRIEF_SHARE, END_DEADLINE_S
from loadtest.chaos.recovery import Recovery
from loadtest.chaos.waiting import until
from loadtest.each import each
from loadtest.meter import Meter
from loadtest.population import Crew, Population
from loadtest.recording import Recording, Seen
from loadtest.seating import Seating, homes_of
from loadtest.simulated_player import Account, SimulatedPlayer
from loadtest.swarm import Swarm

ENDLESS: Final = "endless"
BRIEF: Final = "brief"
"""The modes of rules.py."""

INITIATOR_JOINED_AT: Final = 2
"""A battle is born with two events: it is created, and its initiator is seated."""


@define(eq=False)
class Fight:
    battle_id: str
    initiator: SimulatedPlayer
    over: trio.Event = field(factory=trio.Event)


@frozen
class Squad:
    """A crew's connected players."""

    crew: Crew
    mode: str
    players: Sequence[SimulatedPlayer]


class Crowd:
    """`recording` has all that its players saw, and `endless` the battles that run from beginning to end."""

    def __init__(self, population: Population, meter: Meter, urls: Sequence[str], action_every_s: float) -> None:
        self._population, self._meter = population, meter
        self._urls, self._action_every_s = urls, action_every_s
        self.recording, self.endless = Recording(), set[str]()
        self._seating, self._swarm = Seating(), Swarm(meter)
        self._squads: list[Squad] = []
        self._fights: dict[str, Fight] = {}
        self._waiting: dict[SimulatedPlayer, float] = {}
        self._recoveries: set[Recovery] = set()
        self._ending = trio.Event()

    @asynccontextmanager
    async def playing(self, crews: Sequence[Crew]) -> AsyncIterator[None]:
        """Once all endless battles run; in the end until every battle was fought to the finish, and all its events have
        come, if that happens in time. Raises Refused, Unreachable if they cannot be begun."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._swarm.run)
            await each(self._seat, [(crew, nursery) for crew in crews])
            await each(nursery.start, [(self._fight_on, squad) for squad in self._squads])
            yield
            self._ending.set()
            with trio.move_on_after(END_DEADLINE_S):
                await self._fought_out()
            nursery.cancel_scope.cancel()

    async def _fought_out(self) -> None:
        await until(lambda: not self._meter.battles_running)
        await until(lambda: not any(player.expects_events for player in self._players))

    # -- what others do to it, and see of it --------------------------------------------------------------------------

    def cut_off(self) -> None:
        """All connections break at the same moment."""
        self._swarm.cut()

    def send_home(self) -> None:
        """Who was driven to another node goes back to the own one: every fault of a node hits players, too."""
        for player in self._players:
            if player.seat.away:
                player.go_home()

    async def resumed(self) -> None:
        """Until every player is connected, and has all events."""
        await until(lambda: all(player.player.caught_up for player in self._players))

    async def answered(self, due_by: float) -> None:
        """Until no command waits for its answer that was due by then."""
        await until(lambda: all(due_at > due_by for due_at in self._waiting.values()))

    @contextmanager
    def watched_by(self, recovery: Recovery) -> Iterator[None]:
        self._recoveries.add(recovery)
        try:
            yield
        finally:
            self._recoveries.remove(recovery)

    # -- the players --------------------------------------------------------------------------------------------------

    @property
    def _players(self) -> Iterator[SimulatedPlayer]:
        return (player for squad in self._squads for player in squad.players)

    async def _seat(self, crew: Crew, nursery: trio.Nursery) -> None:
        homes = homes_of(crew.number, len(crew.accounts), self._urls)
        players = [self._player(account, urls) for account, urls in zip(crew.accounts, homes, strict=True)]
        await each(nursery.start, [(player.stay_connected,) for player in players])
        self._squads.append(Squad(crew, BRIEF if crew.number % BRIEF_SHARE == 0 else ENDLESS, players))

    def _player(self, account: Account, urls: Sequence[str]) -> SimulatedPlayer:
        seen = self.recording.players[account.player_id] = Seen()
        dice = random.Random(account.player_id)
        return SimulatedPlayer(account, urls, seen, self._meter, self._seating, self._hear, self._swarm.connect, dice)

    def _hear(self, event: Event) -> None:
        for recovery in self._recoveries:
            recovery.hear(event)
        if event["event"] == "battle:finished":
            self._fights[event["payload"]["battleId"]].over.set()

    # -- the battles --------------------------------------------------------------------------------------------------

    async def _fight_on(self, squad: Squad, *, task_status: trio.TaskStatus[None]) -> None:
        """Started once the first battle runs."""
        self._meter.battles_running += 1
        fight = await self._begin(squad)
        task_status.started()
        while True:
            await self._fight(squad, fight)
            self._meter.battles_finished += 1
            if self._ending.is_set():
                break
            fight = await self._begin(squad)
        self._meter.battles_running -= 1

    async def _begin(self, squad: Squad) -> Fight:
        """A running battle that everybody has joined. Raises Refused, Unreachable."""
        fight = await self._create(squad)
        await fight.initiator.watch(fight.battle_id, INITIATOR_JOINED_AT - 1)
        others = [player for player in squad.players if player is not fight.initiator]
        await each(self._command, [(player, fight, "battle:join") for player in others])
        await self._command(fight.initiator, fight, "battle:begin")
        return fight

    async def _create(self, squad: Squad) -> Fight:
        attack = squad.crew.next_attack()
        initiator = squad.players[attack.initiator]
        body = {"group_attacker": attack.attacker, "group_defender": attack.defender, "mode": squad.mode}
        battle = await self._population.request("/battles", body, initiator.account)
        fight = self._fights[battle["id"]] = Fight(battle["id"], initiator)
        self._seating.places[fight.battle_id] = battle["websocket_url"] or ""
        self.recording.battles.add(fight.battle_id)
        if squad.mode == ENDLESS:
            self.endless.add(fight.battle_id)
        return fight

    async def _fight(self, squad: Squad, fight: Fight) -> None:
        async with trio.open_nursery() as nursery:
            for player in squad.players:
                nursery.start_soon(self._act, player, fight)
            if squad.mode == ENDLESS:
                await self._ending.wait()
                await self._population.request(f"/battles/{fight.battle_id}/finish", None, fight.initiator.account)

    async def _act(self, player: SimulatedPlayer, fight: Fight) -> None:
        """A slow answer delays the next action, and counts from when it was due."""
        due_at = trio.current_time() + player.dice.uniform(0, self._action_every_s)
        while not fight.over.is_set():
            with trio.move_on_at(due_at):
                await fight.over.wait()
                return
            self._waiting[player] = due_at
            with suppress(Refused):
                await player.command(fight.battle_id, "battle:attack", due_at)
            del self._waiting[player]
            due_at += self._action_every_s

    async def _command(self, player: SimulatedPlayer, fight: Fight, event: str) -> None:
        """Raises Refused."""
        await player.command(fight.battle_id, event, trio.current_time())
