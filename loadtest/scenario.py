"""The scenario: every crew fights battle after battle until the time is up, and the running battles to their end.

- prepare: each crew creates its first battle, and its players connect: to all nodes evenly, wherever that battle lives
- fight: join, begin, an action every few seconds, to the finish; then the next battle, while there is time
- settle: the last events come, to everyone
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio
from attrs import define, field, frozen

from gameserver.client.connection import Event
from gameserver.errors import Refused, StartError
from loadtest.each import each
from loadtest.handshake import answers
from loadtest.limits import BATTLE_LIMIT_S, HOME_INTERVAL_S, QUIET_S, RETRY_PAUSE_S, SETTLE_LIMIT_S
from loadtest.meter import Mark, Meter
from loadtest.population import MODE, Crew, Population
from loadtest.recording import Recording, Seen
from loadtest.seating import Seating, homes_of
from loadtest.simulated_player import Account, SimulatedPlayer
from loadtest.swarm import Swarm

INITIATOR_JOINED_AT: Final = 2
"""A battle is born with two events: it is created, and its initiator is seated."""

ACTIONS: Final = ("battle:attack", "battle:guard", "battle:cheer")
WEIGHTS: Final = (8, 1, 1)


@define(eq=False)
class Fight:
    """One battle, as its players see it."""

    battle_id: str
    initiator: int
    over: trio.Event = field(factory=trio.Event)


@frozen
class Squad:
    """A crew's connected players, and its first battle."""

    crew: Crew
    players: Sequence[SimulatedPlayer]
    first: Fight


class Scenario:
    """`websocket_urls`: those that are known so far; where the first battles are, the players connect, too."""

    def __init__(
        self,
        population: Population,
        recording: Recording,
        meter: Meter,
        websocket_urls: Sequence[str],
        seconds: float,
        action_every_s: float,
    ) -> None:
        self._population, self._recording, self._meter = population, recording, meter
        self._urls = list(websocket_urls)
        self.seating = Seating()
        self._seconds, self._action_every_s = seconds, action_every_s
        self._fights: dict[str, Fight] = {}
        self._swarm = Swarm(meter)
        self._ends_at = float("inf")
        self.begun: Mark | None = None
        self.ended: Mark | None = None

    async def run(self, crews: Sequence[Crew]) -> None:
        """Raises StartError, Refused, Unreachable if the first battles cannot be prepared."""
        async with trio.open_nursery() as connections:
            connections.start_soon(self._swarm.run)
            self._meter.phase = "connecting"
            squads = await self._prepare(crews, connections)
            players = [player for squad in squads for player in squad.players]
            connections.start_soon(_send_home, players)
            self._meter.phase = "fighting"
            self._ends_at = trio.current_time() + self._seconds
            self.begun = Mark.of(self._meter)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_window)
                for squad in squads:
                    nursery.start_soon(self._fight_on, squad)
            await self._settle(players)
            connections.cancel_scope.cancel()

    async def _end_window(self) -> None:
        await trio.sleep_until(self._ends_at)
        self.ended = Mark.of(self._meter)
        self._meter.phase = "finishing"

    # -- prepare ----------------------------------------------------------------------------------------------------

    async def _prepare(self, crews: Sequence[Crew], connections: trio.Nursery) -> list[Squad]:
        """First the battles: they show where nodes are."""
        first: list[tuple[Crew, Fight]] = []
        squads: list[Squad] = []

        async def create(crew: Crew) -> None:
            fight = await self._create(crew)
            assert fight is not None, "the time has not begun to run"
            first.append((crew, fight))

        async def gather(crew: Crew, fight: Fight) -> None:
            squads.append(await self._squad(crew, fight, connections))

        await each(create, [(crew,) for crew in crews])
        self._urls = sorted({*self._urls, *self.seating.places.values()} - {""})
        if not self._urls:
            raise StartError("no WebSocket URL is known: the game names none; name one with --url ws://…")
        await each(gather, first)
        return squads

    async def _squad(self, crew: Crew, fight: Fight, connections: trio.Nursery) -> Squad:
        homes = homes_of(crew.number, len(crew.accounts), self._urls)
        players = [self._player(account, urls) for account, urls in zip(crew.accounts, homes, strict=True)]
        await each(connections.start, [(player.stay_connected,) for player in players])
        await players[fight.initiator].watch(fight.battle_id, INITIATOR_JOINED_AT - 1)
        return Squad(crew, players, fight)

    def _player(self, account: Account, urls: Sequence[str]) -> SimulatedPlayer:
        seen = self._recording.players[account.player_id] = Seen()
        self.seating.seated[urls[0]] += 1
        dice, dial = random.Random(account.player_id), self._swarm.connect
        return SimulatedPlayer(account, urls, seen, self._meter, self.seating, self._hear, dial, dice)

    def _hear(self, event: Event) -> None:
        fight = self._fights.get(event["payload"]["battleId"])
        if fight is not None and event["event"] == "battle:finished":
            fight.over.set()

    async def _create(self, crew: Crew) -> Fight | None:
        """Waits as long as a guard says; None if that is beyond the end. Raises Refused, Unreachable."""
        attack = crew.next_attack()
        body = {"group_attacker": attack.attacker, "group_defender": attack.defender, "mode": MODE}
        while True:
            try:
                battle = await self._population.request("/battles", body, crew.accounts[attack.initiator])
            except Refused as refused:
                if refused.retry_after_ms is None:
                    raise
                again_at = trio.current_time() + refused.retry_after_ms / 1000
                if again_at >= self._ends_at:
                    return None
                await trio.sleep_until(again_at)
            else:
                break
        fight = self._fights[battle["id"]] = Fight(battle["id"], attack.initiator)
        self._recording.battles.add(fight.battle_id)
        self.seating.places[fight.battle_id] = battle["websocket_url"] or ""
        return fight

    # -- fight ------------------------------------------------------------------------------------------------------

    async def _fight_on(self, squad: Squad) -> None:
        fight = squad.first
        while True:
            self._meter.battles_running += 1
            with trio.move_on_after(BATTLE_LIMIT_S):
                await self._fight(squad.players, fight)
                self._meter.battles_finished += 1
            self._meter.battles_running -= 1
            following = None if trio.current_time() >= self._ends_at else await self._create(squad.crew)
            if following is None:
                return
            fight = following
            await squad.players[fight.initiator].watch(fight.battle_id, INITIATOR_JOINED_AT - 1)

    async def _fight(self, players: Sequence[SimulatedPlayer], fight: Fight) -> None:
        async with trio.open_nursery() as nursery:
            for place, player in enumerate(players):
                if place != fight.initiator:
                    nursery.start_soon(self._insist, player, fight, "battle:join")
        await self._insist(players[fight.initiator], fight, "battle:begin")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look, players, fight)
            for place, player in enumerate(players):
                nursery.start_soon(self._act, player, fight, _mates(players, place))
        await fight.over.wait()

    async def _look(self, players: Sequence[SimulatedPlayer], fight: Fight) -> None:
        """Where the running battle is, and where its players sit just then. Raises Refused, Unreachable."""
        path, account = f"/battles/{fight.battle_id}", players[fight.initiator].account
        battle = await self._population.request(path, None, account, "GET")
        self.seating.places[fight.battle_id] = battle["websocket_url"] or ""
        self.seating.count(fight.battle_id, [player.seat for player in players])

    async def _insist(self, player: SimulatedPlayer, fight: Fight, event: str) -> None:
        """Again after a guard's time has passed, unless the answer stays no."""
        while True:
            try:
                await player.command(fight.battle_id, event, trio.current_time())
            except Refused as refused:
                if refused.retry_after_ms is None:
                    return
                await trio.sleep(refused.retry_after_ms / 1000)
            else:
                return

    async def _act(self, player: SimulatedPlayer, fight: Fight, mates: Sequence[SimulatedPlayer]) -> None:
        """Actions fall due on a fixed schedule: a slow answer delays the next one, and counts from when it was due."""
        due_at = trio.current_time() + player.dice.uniform(0, self._action_every_s)
        while not fight.over.is_set():
            with trio.move_on_at(due_at):
                await fight.over.wait()
                return
            action = player.dice.choices(ACTIONS, WEIGHTS)[0]
            more = {"targetId": player.dice.choice(mates).account.player_id} if action == "battle:cheer" else {}
            with suppress(Refused):
                await player.command(fight.battle_id, action, due_at, **more)
            due_at += self._action_every_s

    # -- settle -----------------------------------------------------------------------------------------------------

    async def _settle(self, players: Sequence[SimulatedPlayer]) -> None:
        self._meter.phase = "settling"
        with trio.move_on_after(SETTLE_LIMIT_S):
            while any(player.expects_events for player in players):  # noqa: ASYNC110 - it is as rare as it is long
                await trio.sleep(RETRY_PAUSE_S)
            before = -1
            while before != self._meter.deliveries:
                before = self._meter.deliveries
                await trio.sleep(QUIET_S)


async def _send_home(players: Sequence[SimulatedPlayer]) -> None:
    """Those who lost their own node go back there once it answers again, so that the play goes on crossing."""
    while True:
        await trio.sleep(HOME_INTERVAL_S)
        away = [player for player in players if player.seat.away]
        there = {url for url in {player.seat.home for player in away} if await answers(url)}
        for player in away:
            if player.seat.home in there:
                player.go_home()


def _mates(players: Sequence[SimulatedPlayer], place: int) -> list[SimulatedPlayer]:
    half = len(players) // 2
    side = players[:half] if place < half else players[half:]
    return [mate for mate in side if mate is not players[place]]
