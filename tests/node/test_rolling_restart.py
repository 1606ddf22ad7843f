"""A whole cluster is restarted, node after node, while it is played: nothing is lost, and no battle stands still."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import pytest
import trio
from attrs import Factory, define

from gameserver.client.connection import Event
from gameserver.client.limits import ConnectionLimits, PlayerLimits
from gameserver.client.player import Player
from gameserver.config import Settings
from tests.node.cluster import FREE, STEADY, UNHURRIED, all_ownerships, as_process, sees
from tests.node.processes import NodeProcess
from tests.node.world import Duel, World, eventually

NODES = 2
BATTLES = 6
PAUSE_S = 0.1
WAIT_LIMIT_S = 1.0
"""What no command may wait while a node is drained, or its battles come back to it."""

LIMITS = PlayerLimits(connection=ConnectionLimits(command_deadline_ms=2_000, close_deadline_ms=200))


@define(eq=False)
class Fighter:
    """Attacks without end, and writes down each answer, each event and the longest wait. What is refused for good, or
    not answered in half a minute, fails the test."""

    player_id: str
    answers: list[int] = Factory(list)
    seen: list[Event] = Factory(list)
    longest_wait_s: float = 0.0

    async def fight(self, duel: Duel, token: str, urls: Sequence[str]) -> None:
        async with Player(urls, token, on_event=self._note, limits=LIMITS) as player:
            await player.watch(duel.battle_id, after=0)
            while True:
                asked_at = trio.current_time()
                self.answers.append((await player.attack(duel.battle_id))["seq"])
                self.longest_wait_s = max(self.longest_wait_s, trio.current_time() - asked_at)
                await trio.sleep(PAUSE_S)

    def _note(self, event: Event) -> None:
        if "seq" in event:
            self.seen.append(event)

    @property
    def sees_all_that_was_answered(self) -> bool:
        return bool(self.answers and self.seen) and self.seen[-1]["seq"] >= self.answers[-1]


class Cluster:
    """Nodes as processes; each of them can be drained, and started again on other ports."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.processes: list[NodeProcess] = []
        self.worlds: list[World] = []

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        for number in range(NODES):
            self.processes.append(self._start(number))
        self.worlds = [await self._world(number) for number in range(NODES)]
        await self.until_met()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def restart(self, number: int) -> None:
        """In good order, asked for through another node; until the battles that belong there are back."""
        other = self.worlds[(number + 1) % NODES]
        await other.ordered(f"/admin/nodes/node-{number}/drain")
        assert await self.processes[number].ended() == 0
        self.processes[number] = self._start(number)
        self.worlds[number] = await self._world(number)
        await self.until_met()
        await eventually(lambda: self._owns_any(number), f"node-{number} owns battles again")

    async def until_met(self) -> None:
        for world in self.worlds:
            await eventually(lambda world=world: sees(world, NODES), "all nodes are seen")

    async def _owns_any(self, number: int) -> bool:
        return f"node-{number}" in {owner for owner, _ in (await all_ownerships(self.worlds[0])).values()}

    def _start(self, number: int) -> NodeProcess:
        return self._stack.enter_context(NodeProcess(as_process(self._settings, number)))

    async def _world(self, number: int) -> World:
        world: World = await self._stack.enter_async_context(await self.processes[number].world())
        return world


@pytest.fixture
def settings(node_settings) -> Settings:
    leisure = {"drain_spread_ms": 300, "drain_grace_ms": 1_500}
    return node_settings(guards=FREE, websocket=UNHURRIED, node=leisure, cluster=STEADY)


@asynccontextmanager
async def fighting(duels: Sequence[Duel], urls: Sequence[str]) -> AsyncIterator[list[list[Fighter]]]:
    """Two fighters for each duel, one at each of two nodes; in the end each has seen all that it was answered."""
    bouts: list[list[Fighter]] = []
    async with trio.open_nursery() as nursery:
        for duel in duels:
            people = duel.attackers[0], duel.defenders[0]
            bouts.append([Fighter(person.id) for person in people])
            for place, (fighter, person) in enumerate(zip(bouts[-1], people, strict=True)):
                nursery.start_soon(fighter.fight, duel, person.token, [*urls[place:], *urls[:place]])
        fighters = [fighter for bout in bouts for fighter in bout]
        await until_answered(fighters, 5)
        yield bouts
        await until_answered(fighters, 5)
        nursery.cancel_scope.cancel()


async def until_answered(fighters: Sequence[Fighter], more: int) -> None:
    goals = [len(fighter.answers) + more for fighter in fighters]

    def reached() -> bool:
        return all(
            len(fighter.answers) >= goal and fighter.sees_all_that_was_answered
            for fighter, goal in zip(fighters, goals, strict=True)
        )

    await eventually(reached, f"{more} more answers for everybody")


async def test_restarting_all_nodes_one_by_one_costs_nothing_and_holds_up_no_battle(settings):
    async with Cluster(settings) as cluster:
        duels = [await cluster.worlds[0].duel(mode="tireless") for _ in range(BATTLES)]
        async with fighting(duels, [world.websocket_url for world in cluster.worlds]) as bouts:
            for number in range(NODES):
                await cluster.restart(number)
                await until_answered([fighter for bout in bouts for fighter in bout], 5)
        for duel, bout in zip(duels, bouts, strict=True):
            await check(cluster.worlds[0], duel, bout)
        assert max(fighter.longest_wait_s for bout in bouts for fighter in bout) <= WAIT_LIMIT_S


async def check(world: World, duel: Duel, bout: Sequence[Fighter]) -> None:
    """Each answered attack is in the journal once, at most one more whose answer nobody waited for; and everybody saw
    the journal, from the first event on."""
    journal = await world.journal(duel.battle_id)
    assert [event["seq"] for event in journal] == list(range(1, len(journal) + 1))
    for fighter in bout:
        attacks = [event for event in journal if event["event"] == "battle:attack"]
        theirs = [event["seq"] for event in attacks if event["payload"]["playerId"] == fighter.player_id]
        assert theirs[: len(fighter.answers)] == fighter.answers
        assert len(theirs) <= len(fighter.answers) + 1
        assert fighter.seen == journal[: len(fighter.seen)]
