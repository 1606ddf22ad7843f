"""A player who loses the own node goes on at the next one, and comes back when it can."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define

from loadtest import simulated_player
from loadtest.meter import Meter
from loadtest.recording import Seen
from loadtest.seating import Seat, Seating
from loadtest.simulated_player import Account, SimulatedPlayer
from loadtest.swarm import Swarm
from tests.node.cluster import worlds_of
from tests.node.running import NodeThread
from tests.node.world import Duel, World, eventually

NOWHERE = "ws://127.0.0.1:1"


@define
class Stage:
    """A player of a battle, whose home is the first of the URLs."""

    player: SimulatedPlayer
    duel: Duel
    worlds: list[World]

    async def is_at(self, url: str) -> None:
        async def there() -> bool:
            return (await self.player.connected()) and self.player.seat.url == url

        await eventually(there, f"the player is at {url}")

    async def attack(self) -> int:
        return await self.player.command(self.duel.battle_id, "battle:attack", trio.current_time())


@asynccontextmanager
async def stage(nodes: list[NodeThread], *, alive: bool = True) -> AsyncIterator[Stage]:
    async with worlds_of(nodes) as worlds, trio.open_nursery() as nursery:
        duel = await worlds[0].duel()
        urls = [worlds[0].websocket_url if alive else NOWHERE, worlds[1].websocket_url]
        person, swarm, seating = duel.attackers[0], Swarm(), Seating({duel.battle_id: urls[1]})
        player = SimulatedPlayer(
            Account(person.id, person.token),
            Seat(urls, 0, 0),
            Seen(),
            Meter(),
            seating,
            lambda _: None,
            Dice(),
        )
        nursery.start_soon(swarm.run)
        nursery.start_soon(player.stay_connected, swarm, trio.CapacityLimiter(1))
        yield Stage(player, duel, worlds)
        nursery.cancel_scope.cancel()


class Dice:
    """No pauses."""

    def uniform(self, least: float, most: float) -> float:
        return least


async def test_who_is_told_to_come_back_goes_on_at_the_next_node(nodes, monkeypatch) -> None:
    monkeypatch.setattr(simulated_player, "AWAY_S", float("inf"))
    async with stage(nodes) as on:
        await on.is_at(on.worlds[0].websocket_url)
        await on.player.follow(on.duel.battle_id, 2, subscribed=False)
        before = await on.attack()
        nodes[0].call(nodes[0].node.core.sessions.disconnect, on.player.account.player_id)
        await eventually(lambda: on.player.seat.away, "the player has moved on")
        await on.is_at(on.worlds[1].websocket_url)
        await eventually(lambda: on.player.seen.stream(on.duel.battle_id).last_seq == before, "it saw the own attack")
        assert set(on.player.seating.names.values()) == {"node-0", "node-1"}
        assert [reason[:4] for reason in on.player.meter.closings] == ["4004"]
        assert (len(on.player.meter.crossing_ms), len(on.player.meter.local_ms)) == (1, 0)


async def test_it_comes_home_while_its_own_node_answers(nodes, monkeypatch) -> None:
    monkeypatch.setattr(simulated_player, "AWAY_S", 0.2)
    async with stage(nodes) as on:
        await on.is_at(on.worlds[0].websocket_url)
        on.player.seat.move_on()
        nodes[0].call(nodes[0].node.core.sessions.disconnect, on.player.account.player_id)
        await eventually(lambda: on.player.meter.reconnects and not on.player.seat.away, "the player is home again")
        await on.is_at(on.worlds[0].websocket_url)


async def test_it_stays_at_the_next_node_while_its_own_is_gone(nodes, monkeypatch) -> None:
    monkeypatch.setattr(simulated_player, "AWAY_S", 0.01)
    probed: list[str] = []
    probe = simulated_player.answers

    async def answers(url: str) -> bool:
        probed.append(url)
        return await probe(url)

    monkeypatch.setattr(simulated_player, "answers", answers)
    async with stage(nodes, alive=False) as on:
        await on.is_at(on.worlds[1].websocket_url)
        await eventually(lambda: len(probed) > 2, "the own node was looked for")
        assert set(probed) == {NOWHERE}
        assert await on.attack() > 0
        assert (on.player.seat.away, on.player.meter.reconnects) == (True, 0)


async def test_a_command_on_its_way_ends_when_its_player_leaves(nodes: list[NodeThread]) -> None:
    """And does not wait for its deadline."""
    async with worlds_of(nodes) as worlds, trio.open_nursery() as nursery:
        person, swarm = await worlds[0].person(), Swarm()
        nursery.start_soon(swarm.run)
        url, limits = worlds[0].websocket_url, simulated_player.LIMITS
        async with swarm.connect(url, person.token, None, on_event=print, limits=limits) as player:
            pass
        with pytest.raises(simulated_player.Disconnected):
            await player.ping()
        nursery.cancel_scope.cancel()
