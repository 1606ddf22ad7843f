"""What this node says to the others, and hears from them, over the bus.

All that goes to one node in one turn of the event loop, and all that gathers while the last round trip runs, is one
packet. What one node says first to another is heard first (what it says to everybody may come before or after that), if
it is heard at all: while the bus is away nothing is said, and what was on its way may be lost. Whoever needs an answer
waits for it with a deadline; whoever follows something renews what it follows.

Others may have access to the same Redis, and are invited to listen there: a packet counts only with a mark that proves
knowledge of the cluster's key, and only on its channel and for a while, lest it be said again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from hmac import compare_digest
from itertools import islice
from typing import Any, Final, TypeVar

import structlog
import trio
from attrs import define

from gameserver.actors.ports import Clock
from gameserver.cluster.items import Item
from gameserver.cluster.ports import Bus
from gameserver.cluster.wire import decode_packet, encode_item, join_items
from gameserver.config import ClusterSettings
from gameserver.errors import BusAway
from gameserver.turns import Walk, in_turns, one_turn, strides

log = structlog.get_logger()
T = TypeVar("T")

EVERYBODY: Final = "nodes"
PUBLIC_AT_ONCE: Final = 1_000
HEARD_AT_ONCE: Final = 20
"""Items that one step of hearing goes over, where a handler gives no walk."""

MARK_BYTES: Final = 16
STAMP_BYTES: Final = 8


@define
class LinkCounters:
    sent: int = 0
    received: int = 0
    packets: int = 0
    dropped: int = 0
    not_understood: int = 0


class Links:
    """`send`, `broadcast` and `publish` never block; they give False, and drop what is said, if the bus is away or the
    queue is full."""

    def __init__(self, bus: Bus, name: str, secret: str, clock: Clock, settings: ClusterSettings) -> None:
        self._bus, self._name, self._clock, self._settings = bus, name, clock, settings
        self._key = blake2b(secret.encode(), person=b"cluster links").digest()
        self._misunderstood = False
        self._queues: dict[str, deque[bytes]] = {}
        self._public: deque[tuple[str, bytes]] = deque()
        self._handlers: dict[type, Callable[[str, Any], Walk | None]] = {}
        self._heard: deque[tuple[str, list[Item]]] = deque()
        self._unheard = 0
        self._hearing: Iterator[None] | None = None
        self._to_tell: list[Callable[[], None]] = []
        self._under_way = 0
        self._wake, self._wake_ear = trio.Event(), trio.Event()
        self._idle = trio.lowlevel.ParkingLot()
        self.counters = LinkCounters()
        bus.subscribe(_channel(name), partial(self._hear, _channel(name)))
        bus.subscribe(EVERYBODY, partial(self._hear, EVERYBODY))

    @property
    def available(self) -> bool:
        return self._bus.available

    @property
    def waiting(self) -> int:
        return self._under_way + sum(len(queue) for queue in self._queues.values()) + len(self._public)

    def on(self, kind: type[T], handler: Callable[[str, T], Walk | None]) -> None:
        """Have `handler` called with the sender and each item of this kind. It never blocks and never raises; the walk
        that it may give is taken to the end before anything else is heard."""
        self._handlers[kind] = handler

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when something that was to be sent may not have been; it never blocks."""
        self._to_tell.append(callback)

    async def said(self) -> None:
        """Until nothing waits to be sent."""
        while self.waiting:
            await self._idle.park()

    def send(self, node: str, item: Item) -> bool:
        return self._put(_channel(node), encode_item(item))

    def send_all(self, nodes: list[str], item: Item) -> None:
        """The same to several nodes, encoded once."""
        encoded = encode_item(item)
        for node in nodes:
            self._put(_channel(node), encoded)

    def broadcast(self, item: Item) -> bool:
        """To all nodes but this one."""
        return self._put(EVERYBODY, encode_item(item))

    def publish(self, channel: str, data: bytes) -> bool:
        """For listeners outside of the cluster."""
        if not self._bus.available or len(self._public) >= self._settings.link_limit:
            self.counters.dropped += 1
            return False
        self._public.append((channel, data))
        self._wake.set()
        return True

    def _put(self, channel: str, item: bytes) -> bool:
        queue = self._queues.get(channel)
        if not self._bus.available or (queue is not None and len(queue) >= self._settings.link_limit):
            self.counters.dropped += 1
            return False
        if queue is None:
            queue = self._queues[channel] = deque()
            self._wake.set()
        queue.append(item)
        return True

    # -- saying -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_saying)
            nursery.start_soon(self._keep_hearing)

    async def _keep_saying(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while packets := self._take():
                self._under_way = len(packets)
                try:
                    await self._bus.publish(packets)
                except BusAway as error:
                    log.warning("links.bus_away", error=str(error), dropped=self.waiting)
                    self._drop_all()
                self._under_way = 0
            self._idle.unpark_all()

    def _take(self) -> list[tuple[str, bytes]]:
        """A packet for each node for which something waits, and what is public."""
        packets = []
        for channel, queue in list(self._queues.items()):
            items, size = [queue.popleft()], 0
            while queue and (size := size + len(items[-1])) < self._settings.packet_limit_bytes:
                items.append(queue.popleft())
            if not queue:
                del self._queues[channel]
            packets.append((channel, self._sealed(channel, join_items(self._name, items))))
            self.counters.sent += len(items)
        public = list(islice(self._public, PUBLIC_AT_ONCE))
        for _ in public:
            self._public.popleft()
        self.counters.packets += len(packets)
        return packets + public

    def _drop_all(self) -> None:
        self.counters.dropped += self.waiting
        self._queues.clear()
        self._public.clear()
        for callback in self._to_tell:
            callback()

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _hear(self, channel: str, packet: bytes) -> None:
        try:
            sender, items = decode_packet(self._opened(channel, packet))
        except Exception as error:  # noqa: BLE001  # whatever it was meant to be, the next packet counts
            self.counters.not_understood += 1
            if not self._misunderstood:  # one line; the counter tells the rest
                self._misunderstood = True
                log.warning("links.not_understood", error=repr(error))
        else:
            if sender != self._name:
                self._take_in(sender, items)

    def _sealed(self, channel: str, packet: bytes) -> bytes:
        stamped = self._clock.now_ms().to_bytes(STAMP_BYTES, "big") + packet
        return self._mark(channel, stamped) + stamped

    def _opened(self, channel: str, sealed: bytes) -> bytes:
        """Raises ValueError for what no node of this cluster has said just now on this channel."""
        mark, stamped = sealed[:MARK_BYTES], sealed[MARK_BYTES:]
        if not compare_digest(mark, self._mark(channel, stamped)):
            raise ValueError("not from a node of this cluster; do all nodes have the same signing key?")
        age_ms = self._clock.now_ms() - int.from_bytes(stamped[:STAMP_BYTES], "big")
        if abs(age_ms) > self._settings.packet_age_limit_ms:
            raise ValueError(f"said {age_ms} ms ago")
        return stamped[STAMP_BYTES:]

    def _mark(self, channel: str, stamped: bytes) -> bytes:
        digest = blake2b(key=self._key, digest_size=MARK_BYTES)
        digest.update(channel.encode() + b"\0")
        digest.update(stamped)
        return digest.digest()

    def _take_in(self, sender: str, items: list[Item]) -> None:
        room = self._settings.heard_limit - self._unheard
        self.counters.received += len(items)
        self.counters.dropped += max(0, len(items) - room)
        heard = items[:room]
        self._unheard += len(heard)
        self._heard.append((sender, heard))
        if self._hearing is None:
            steps = self._hear_all()
            if not one_turn(steps):
                self._hearing = steps
                self._wake_ear.set()

    async def _keep_hearing(self) -> None:
        """What is too much for the turn in which it came; meanwhile what comes waits behind it."""
        while True:
            await self._wake_ear.wait()
            self._wake_ear = trio.Event()
            if self._hearing is not None:
                await in_turns(self._hearing)
                self._hearing = None

    def _hear_all(self) -> Iterator[None]:
        while self._heard:
            sender, items = self._heard.popleft()
            for some in strides(items, HEARD_AT_ONCE):
                for item in some:
                    try:
                        walk = self._handlers.get(type(item), _ignore)(sender, item)
                        if walk is not None:
                            yield from walk
                            yield
                    except Exception:  # one item must not take the others with it
                        log.exception("links.handler_failed", item=type(item).__name__, sender=sender)
                yield
            self._unheard -= len(items)


def _ignore(_sender: str, _item: Item) -> None:
    """Nobody here wants to hear it."""


def _channel(node: str) -> str:
    return f"node:{node}"
