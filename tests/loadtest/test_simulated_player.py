"""A simulated player writes down what it asks and what it is handed, wherever its connections lead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define

from gameserver.client.errors import Disconnected
from gameserver.client.limits import ConnectionLimits
from gameserver.errors import Refused
from loadtest.meter import Meter
from loadtest.recording import Asked, Seen
from loadtest.seating import Seating
from loadtest.simulated_player import Account, SimulatedPlayer
from loadtest.swarm import Swarm
from tests.node.cluster import worlds_of
from tests.node.running import NodeThread
from tests.node.world import Duel, World, eventually

NOWHERE = "ws://127.0.0.1:1"
JOINED_AT = 2


@define
class Stage:
    """A player who has joined a battle, and whose home is the first of the URLs."""

    player: SimulatedPlayer
    duel: Duel
    worlds: list[World]

    async def attack(self) -> int:
        return await self.player.command(self.duel.battle_id, "battle:attack", trio.current_time())

    async def sees(self, last: int) -> None:
        stream = self.player.seen.stream(self.duel.battle_id)
        await eventually(lambda: stream.last_seq == last, "the player has seen the last event")
        assert list(stream.seqs) == list(range(JOINED_AT, last + 1))


@asynccontextmanager
async def stage(nodes: list[NodeThread], *, alive: bool = True) -> AsyncIterator[Stage]:
    async with worlds_of(nodes) as worlds, trio.open_nursery() as nursery:
        duel = await worlds[0].duel()
        urls = [worlds[0].websocket_url if alive else NOWHERE, worlds[1].websocket_url]
        person, meter, seating = duel.attackers[0], Meter(), Seating({duel.battle_id: urls[1]})
        account, swarm = Account(person.id, person.token), Swarm(meter)
        player = SimulatedPlayer(
            account, urls, Seen(), meter, seating, on_play=lambda _: None, dial=swarm.connect, dice=NoPauses()
        )
        nursery.start_soon(swarm.run)
        await nursery.start(player.stay_connected)
        await player.watch(duel.battle_id, JOINED_AT - 1)
        yield Stage(player, duel, worlds)
        nursery.cancel_scope.cancel()


class NoPauses:
    def uniform(self, least: float, most: float) -> float:
        return least


async def test_who_is_told_to_come_back_goes_on_and_misses_nothing(nodes) -> None:
    async with stage(nodes) as on:
        before = await on.attack()
        nodes[0].call(nodes[0].node.core.sessions.disconnect, on.player.account.player_id)
        await eventually(lambda: on.player.meter.reconnects == 1, "the player is back")
        after = await on.attack()
        await on.sees(after)
        assert after > before
        assert [reason[:4] for reason in on.player.meter.closings] == ["4004"]


async def test_who_finds_nobody_at_home_plays_elsewhere_until_it_is_sent_home(nodes) -> None:
    async with stage(nodes, alive=False) as on:
        assert on.player.seat.away
        assert on.player.seating.names == {on.worlds[1].websocket_url: "node-1"}
        on.player.go_home()
        last = await on.attack()
        await on.sees(last)
        assert on.player.seat.away
        on.player.urls = [on.worlds[0].websocket_url]
        on.player.go_home()
        await eventually(lambda: not on.player.seat.away, "the player is home")
        await on.sees(await on.attack())
        assert (len(on.player.meter.local_ms), len(on.player.meter.crossing_ms)) == (1, 1)


async def test_what_was_acknowledged_and_what_was_refused_is_noted_under_its_number(nodes) -> None:
    async with stage(nodes) as on:
        seq = await on.attack()
        with pytest.raises(Refused, match="unknown_event"):
            await on.player.command(on.duel.battle_id, "battle:dance", trio.current_time())
        seen, instance, battle_id = on.player.seen, on.player.player.hello.instance, on.duel.battle_id
        (asked, told), (refused,) = seen.acknowledged[0], seen.refused
        assert (asked, told) == (Asked(instance, asked.number, battle_id, "battle:attack"), seq)
        assert refused == Asked(instance, asked.number + 1, battle_id, "battle:dance")
        assert seen.highest == {instance: refused.number}
        assert on.player.meter.refusals == {"unknown_event": 1}


async def test_a_command_on_its_way_ends_when_its_player_leaves(nodes: list[NodeThread]) -> None:
    """And does not wait for its deadline."""
    async with worlds_of(nodes) as worlds, trio.open_nursery() as nursery:
        person, swarm = await worlds[0].person(), Swarm(Meter())
        nursery.start_soon(swarm.run)
        async with swarm.connect(worlds[0].websocket_url, person.token, limits=ConnectionLimits()) as connection:
            pass
        with pytest.raises(Disconnected):
            await connection.ping()
        nursery.cancel_scope.cancel()
