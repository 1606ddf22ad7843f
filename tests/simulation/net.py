"""How players come to nodes: by wires, which break, are slow, and lead nowhere when the node is gone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import trio
from attrs import Factory, define

from gameserver.client.connection import Connection, conversing
from gameserver.client.errors import Unreachable
from gameserver.client.limits import ConnectionLimits
from gameserver.errors import Refused
from gameserver.ids import PlayerId
from gameserver.protocol.session import Identified, Session
from tests.cluster.cluster_node import ClusterNode
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

CONGESTION_BYTES = 400
OUTGOING_LIMIT_BYTES = 1_500


@define(eq=False)
class Net:
    world: "Simulation"
    dice: Random
    wires: dict[Wire, ClusterNode] = Factory(dict)
    count: int = 0

    @asynccontextmanager
    async def dial(
        self,
        url: str,
        token: str,
        instance: int | None = None,
        *,
        on_event: Callable[[Any], None] | None = None,
        limits: ConnectionLimits | None = None,
    ) -> AsyncIterator[Connection]:
        """As gameserver/client/connection.py's `connect`; the token is the bot's name."""
        limits = limits or ConnectionLimits()
        node = await self._reach(url, limits)
        bot = self.world.bots[token]
        self.count += 1
        wire = Wire(
            f"{token}#{self.count}",
            self.dice.uniform(0.001, 0.03),
            CONGESTION_BYTES,
            OUTGOING_LIMIT_BYTES,
            self.world.observers.said,
            self.world.observers.asked,
            self.world.observers.closed,
            lambda: bot.slow_until,
        )
        instance = instance or node.core.issuer.new_instance()
        self.world.observers.connected(wire, node.name, bot.player_id, instance)
        identified = Identified(PlayerId(bot.player_id), f"login of {token}", instance)
        core = node.core
        session = Session(identified, wire, core.gateway, core.sessions.outgoing, node.settings.websocket)
        self.wires[wire] = node
        node.nursery.start_soon(wire.serve, session)
        try:
            async with conversing(wire, 0, on_event, limits) as connection:
                yield connection
        finally:
            wire.hang_up()
            del self.wires[wire]

    async def _reach(self, url: str, limits: ConnectionLimits) -> ClusterNode:
        await trio.sleep(self.dice.uniform(0.001, 0.03))
        node = self.world.stage.nodes.get(url.removeprefix("ws://"))
        if node is None or not node.alive:
            raise Unreachable(f"nothing answers at {url}")
        if self.world.frosts[node].frozen:
            await trio.sleep(limits.connect_deadline_ms / 1000)
            raise Unreachable(f"{url} does not answer")
        if node.cluster.myself.leaving:
            raise Refused("node_stopping")
        return node

    def cut_all(self, node: ClusterNode) -> None:
        for wire in self.of(node):
            wire.cut()

    def of(self, node: ClusterNode) -> list[Wire]:
        return [wire for wire, to in self.wires.items() if to is node]
