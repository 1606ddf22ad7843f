"""What several nodes on the virtual clock have of Redis: one hub and one directory, and what may go wrong with them.

hub.rule = lambda sender, to, items: LOST     that packet is lost; or TWICE, or seconds by which it is late
node.bus.cut(), node.bus.heal()               see tests/contracts/memory_bus.py
node.directory.away = True                    see tests/contracts/memory_directory.py
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio
import trio.lowlevel
from attrs import Factory, define

from gameserver.cluster.items import Item
from gameserver.cluster.links import MARK_BYTES, STAMP_BYTES
from gameserver.cluster.ports import NodeInfo, Sighting
from gameserver.cluster.wire import decode_packet
from gameserver.config import ClusterSettings
from gameserver.errors import BusAway
from tests.cluster.cluster_machine import Gate
from tests.cluster.stage import NobodyElse
from tests.contracts.memory_bus import MemoryBus, MemoryHub
from tests.contracts.memory_directory import Board, MemoryDirectory

LOST: Final = None
TWICE: Final = "twice"
Fate = float | str | None
Rule = Callable[[str, str, Sequence[Item]], Fate]
"""What becomes of a packet, by its sender, the node that it would come to, and its items."""


def keep_all(_sender: str, _to: str, _items: Sequence[Item]) -> Fate:
    return 0.0


@define
class FaultyHub(MemoryHub):
    rule: Rule = keep_all
    heard: list[tuple[str, str, Item]] = Factory(list)
    """Sender, receiver and item, of everything that arrived."""
    in_order: bool = True
    """What comes late stays in the order of its sender."""

    def fates(self, sender: str, to: str, channel: str, packet: bytes) -> Sequence[float]:
        """By how many seconds it is late, each time that it arrives."""
        items = _items(channel, packet)
        fate = self.rule(sender, to, items)
        if fate is LOST:
            return ()
        late_s = (0.0, 0.0) if fate == TWICE else (fate,) if isinstance(fate, float) else (0.0,)
        self.heard += [(sender, to, item) for item in items] * len(late_s)
        return late_s

    def heard_items(self, kind: type, *, sender: str | None = None, to: str | None = None) -> list[Any]:
        return [
            item
            for who, whom, item in self.heard
            if type(item) is kind and sender in (None, who) and to in (None, whom)
        ]


def _items(channel: str, packet: bytes) -> list[Item]:
    between_nodes = channel == "nodes" or channel.startswith("node:")
    return decode_packet(packet[MARK_BYTES + STAMP_BYTES :])[1] if between_nodes else []


class FaultyBus(MemoryBus):
    def __init__(self, hub: FaultyHub, node: str, gate: Gate) -> None:
        super().__init__(hub)
        self._faulty, self.node, self._gate = hub, node, gate
        self._late: dict[str, deque[tuple[float, str, bytes]]] = {}
        self._nursery: trio.Nursery | None = None
        self._hanging: trio.Event | None = None
        self._hangs = False

    def hang_next(self) -> None:
        """The next round waits, and fails when told to; it reaches nobody."""
        self._hangs, self._hanging = True, trio.Event()

    def fail_hanging(self) -> None:
        assert self._hanging is not None
        self._hanging.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def publish(self, packets: Sequence[tuple[str, bytes]]) -> None:
        await self._gate.passed()
        await trio.lowlevel.checkpoint()
        if self._hangs and self._hanging is not None:
            self._hangs = False
            await self._hanging.wait()
            raise BusAway("hung")
        if not self.available:
            raise BusAway("cut")
        for channel, packet in packets:
            for bus in list(self._faulty.buses):
                assert isinstance(bus, FaultyBus)
                bus.arrive(self.node, channel, packet)

    def arrive(self, sender: str, channel: str, packet: bytes) -> None:
        if channel not in self._handlers or not self.available:
            return
        for late_s in self._faulty.fates(sender, self.node, channel, packet):
            self._deliver(sender, trio.current_time() + late_s, channel, packet)

    def _deliver(self, sender: str, at: float, channel: str, packet: bytes) -> None:
        if at <= trio.current_time() and sender not in self._late and not self._gate.closed:
            self.hear(channel, packet)
            return
        if self._nursery is None:  # it does not run yet
            return
        if not self._faulty.in_order:
            self._nursery.start_soon(self._deliver_alone, at, channel, packet)
            return
        if sender not in self._late:
            self._late[sender] = deque()
            self._nursery.start_soon(self._drain, sender)
        self._late[sender].append((at, channel, packet))

    async def _deliver_alone(self, at: float, channel: str, packet: bytes) -> None:
        await trio.sleep_until(at)
        await self._gate.passed()
        self.hear(channel, packet)

    async def _drain(self, sender: str) -> None:
        waiting = self._late[sender]
        while waiting:
            at, channel, packet = waiting.popleft()
            await trio.sleep_until(at)
            await self._gate.passed()
            self.hear(channel, packet)
        del self._late[sender]


class GatedDirectory(MemoryDirectory):
    def __init__(self, board: Board, settings: ClusterSettings, gate: Gate) -> None:
        super().__init__(board, settings)
        self._gate = gate

    async def meet(self, me: NodeInfo) -> Sequence[Sighting]:
        await self._gate.passed()
        return await super().meet(me)


class NothingElse(NobodyElse):
    """Everything of Redis but the bus and the directory, and what only real servers have."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[tuple[Any, ...]] = []
        self.on_recorded: Callable[..., None] = lambda *score: None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()

    async def record(self, *score: Any) -> None:
        self.recorded.append(score)
        self.on_recorded(*score)

    async def prune(self, *days: int) -> int:
        return 0
