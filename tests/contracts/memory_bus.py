"""A bus in memory that keeps the port's promises, for tests of several nodes on Trio's virtual clock.

Each node has a `MemoryBus` of its own; those that share a `MemoryHub` hear each other. What may go wrong:

    bus.cut()       it is away: what others publish is lost to it, and its own `publish` raises BusAway
    bus.heal()      it is back
    hub.cut()       all are away, as when Redis is
    hub.lose(1)     the next packet reaches nobody, and nobody is told
"""

from collections.abc import Callable, Sequence

import trio
from attrs import Factory, define

from gameserver.errors import BusAway


@define
class MemoryHub:
    buses: list["MemoryBus"] = Factory(list)
    published: list[tuple[str, bytes]] = Factory(list)
    to_lose: int = 0

    def cut(self) -> None:
        for bus in self.buses:
            bus.cut()

    def heal(self) -> None:
        for bus in self.buses:
            bus.heal()

    def lose(self, packets: int) -> None:
        self.to_lose += packets

    def spread(self, channel: str, packet: bytes) -> None:
        self.published.append((channel, packet))
        if self.to_lose:
            self.to_lose -= 1
            return
        for bus in self.buses:
            bus.hear(channel, packet)


class MemoryBus:
    """Available from the start. A packet is delivered before its `publish` returns."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._available = True
        self._handlers: dict[str, list[Callable[[bytes], None]]] = {}
        self._callbacks: list[Callable[[], None]] = []
        hub.buses.append(self)

    @property
    def available(self) -> bool:
        return self._available

    async def publish(self, packets: Sequence[tuple[str, bytes]]) -> None:
        await trio.lowlevel.checkpoint()
        if not self._available:
            raise BusAway("cut")
        for channel, packet in packets:
            self._hub.spread(channel, packet)

    def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        self._handlers.setdefault(channel, []).append(handler)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def hear(self, channel: str, packet: bytes) -> None:
        if self._available:
            for handler in self._handlers.get(channel, ()):
                handler(packet)

    def cut(self) -> None:
        self._become(available=False)

    def heal(self) -> None:
        self._become(available=True)

    def leave(self) -> None:
        """Its node is dead: it hears nothing any more, and nobody is told."""
        self._available = False
        self._hub.buses.remove(self)

    def _become(self, *, available: bool) -> None:
        if self._available != available:
            self._available = available
            for callback in self._callbacks:
                callback()
