"""The client's Player at real nodes: links are cut, nodes are killed and stopped, and play goes on by itself."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio

from gameserver.client.errors import Disconnected
from gameserver.client.limits import ConnectionLimits, PlayerLimits
from gameserver.client.player import Player
from loadtest.chaos.relay import Relay
from tests.node.cluster import (
    FREE,
    SHORT_LEASES,
    STEADY,
    UNHURRIED,
    as_process,
    duel_of,
    named,
    nodes_of,
    sees,
    started,
    worlds_of,
)
from tests.node.processes import NodeProcess
from tests.node.running import NodeThread
from tests.node.world import Duel, Witness, World, eventually, world_of

LIMITS = PlayerLimits(
    connection=ConnectionLimits(connect_deadline_ms=2_000, command_deadline_ms=2_000, close_deadline_ms=200),
    reconnect_pause_ms=20,
    reconnect_pause_max_ms=200,
    command_deadline_ms=20_000,
)


class Fight:
    """Two players of a duel who attack without end; and what they, and one who only looks on, were told."""

    def __init__(self, world: World, duel: Duel) -> None:
        self.world, self.duel = world, duel
        self.answers: dict[str, list[int]] = {}
        self.seen = Witness()

    @asynccontextmanager
    async def going_on(self, fighters: list[Player], spectator: Player) -> AsyncIterator[None]:
        await spectator.watch(self.duel.battle_id, after=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look, spectator)
            for fighter in fighters:
                nursery.start_soon(self._attack, fighter)
            await self.until_answered(5)
            yield
            await self.until_answered(5)
            last = max(max(answers) for answers in self.answers.values())
            await self.seen.until_seq(self.duel.battle_id, last)
            nursery.cancel_scope.cancel()

    async def until_answered(self, more: int) -> None:
        """Until everybody has had so many more answers."""
        goals = {name: len(each) + more for name, each in self.answers.items()}

        def reached() -> bool:
            return len(self.answers) == 2 and all(
                len(each) >= goals.get(name, more) for name, each in self.answers.items()
            )

        await eventually(reached, f"{more} more answers")

    async def check(self) -> None:
        """Each answered attack is in the journal once, at most one more of each player, whose answer nobody waited for;
        and whoever looked on has seen the journal."""
        journal = await self.world.journal(self.duel.battle_id)
        for player, answers in self.answers.items():
            theirs = [
                event["seq"]
                for event in journal
                if event["event"] == "battle:attack" and event["payload"]["playerId"] == player
            ]
            assert theirs[: len(answers)] == answers
            assert len(theirs) <= len(answers) + 1
        seen = self.seen.battle(self.duel.battle_id)
        assert seen == journal[: len(seen)]

    async def _attack(self, player: Player) -> None:
        answers = self.answers.setdefault(player.hello.player_id, [])
        while True:
            answers.append((await player.attack(self.duel.battle_id))["seq"])

    async def _look(self, player: Player) -> None:
        async for event in player.events():
            self.seen.events.append(event)


@asynccontextmanager
async def fight_of(world: World, duel: Duel, *urls: str) -> AsyncIterator[tuple[Fight, list[Player]]]:
    """Everybody is at the first of the URLs, and knows the others, too."""
    people = [duel.attackers[0], duel.defenders[0], await world.person()]
    async with (
        Player(urls, people[0].token, limits=LIMITS) as one,
        Player(urls, people[1].token, limits=LIMITS) as other,
        Player(urls, people[2].token, limits=LIMITS) as spectator,
    ):
        fight = Fight(world, duel)
        async with fight.going_on([one, other], spectator):
            yield fight, [one, other, spectator]
        await fight.check()


@pytest.fixture(scope="module")
def nodes(node_settings) -> Iterator[list[NodeThread]]:
    with nodes_of(node_settings(guards=FREE, websocket=UNHURRIED)) as running:
        yield running


async def test_a_link_that_is_cut_again_and_again_costs_no_event_and_doubles_no_attack(nodes):
    async with worlds_of(nodes) as (world, _):
        duel = await world.duel(mode="tireless")
        with Relay(world.websocket_url) as relay:
            async with fight_of(world, duel, relay.url) as (fight, _players):
                for _ in range(5):
                    relay.cut()
                    await trio.sleep(0.05)  # nobody gets through meanwhile
                    relay.mend()
                    await fight.until_answered(3)


async def test_players_move_between_nodes_in_the_thick_of_a_battle_and_nobody_notices(nodes):
    async with worlds_of(nodes) as worlds:
        duel = await duel_of(worlds, "node-0")
        here, there = (world.websocket_url for world in worlds)
        async with fight_of(worlds[0], duel, here, there) as (fight, players):
            for url in (there, here, there, here):
                for player in players:
                    player.follow(url)
                for player in players:
                    await eventually(lambda player=player, url=url: player.url == url, f"the player is at {url}")
                await fight.until_answered(3)


async def test_a_player_who_joins_while_the_link_breaks_has_joined_once_and_sees_it(nodes):
    async with worlds_of(nodes) as (world, _):
        duel = await world.duel(mode="tireless", seated=False, begun=False)
        with Relay(world.websocket_url) as relay:
            async with (
                Player(relay.url, duel.defenders[0].token, limits=LIMITS) as player,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(player.join, duel.battle_id)
                await trio.lowlevel.checkpoint()
                relay.cut()
                relay.mend()
                async for event in player.events():
                    if event["event"] == "battle:join":
                        break
                assert event["payload"]["playerId"] == duel.defenders[0].id


async def test_a_revoked_session_ends_the_player(nodes):
    async with worlds_of(nodes) as (world, _):
        person = await world.person()
        async with Player(world.websocket_url, person.token, limits=LIMITS) as player:
            await world.http.request("DELETE", "/sessions", token=person.token)
            with pytest.raises(Disconnected) as caught:
                async for _ in player.events():
                    pass
            assert caught.value.code == 4500
            with pytest.raises(Disconnected):
                await player.ping()


async def test_when_a_node_is_killed_its_players_go_on_at_the_next(node_settings):
    settings = node_settings(
        guards=FREE, websocket=UNHURRIED, node=SHORT_LEASES, auth={"signing_key": "a key " * 8}, cluster=STEADY
    )
    with NodeProcess(as_process(settings, 0)) as process, ExitStack() as stack:
        here = await started(stack, named(settings, 1))
        async with await process.world() as there, world_of(here) as world:
            for each in (there, world):
                await eventually(lambda each=each: sees(each, 2), "both nodes are seen")
            duel = await duel_of([there, world], "node-0")
            async with fight_of(world, duel, there.websocket_url, world.websocket_url) as (fight, players):
                process.kill()
                await fight.until_answered(5)
                assert {player.url for player in players} == {world.websocket_url}
