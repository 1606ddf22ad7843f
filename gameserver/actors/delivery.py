"""Telling what became of pendings: everybody, if they landed; who waits for them, if they were dropped.

Both are walks in turns (see turns.py), beside the statement that is written meanwhile.

Invariants:
- Commits are delivered one after the other, and no more than one that has landed waits: the committer waits with it.
- A pending is held until all of it is delivered, and its actor does not leave before.
- Each reply is called once, also when a walk is cancelled in the middle: who was not told by then is refused.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping

import structlog
import trio

from gameserver.actors.pending import Pending, Writer
from gameserver.actors.ports import Audience, Committed
from gameserver.errors import Refused
from gameserver.turns import Walk, at_once, in_turns

log = structlog.get_logger()


class Delivery:
    """`moved` is unparked when something is not held any more."""

    def __init__(self, audience: Audience, moved: trio.lowlevel.ParkingLot) -> None:
        self._audience, self._moved = audience, moved
        self._landed: dict[Writer, Pending] = {}
        self._dropped: deque[Pending] = deque()
        self._deliver, self._refuse, self._over = trio.Event(), trio.Event(), False
        self._to_tell: list[Callable[[], None]] = []
        self._has_news = False
        """What is being delivered carried outbox rows."""

    def holds(self, actor: Writer) -> bool:
        return actor in self._landed

    def on_news(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each commit that carried outbox rows; it never blocks."""
        self._to_tell.append(callback)

    async def begin(self, landed: Mapping[Writer, Pending]) -> None:
        """Have a commit delivered, as soon as the last one is."""
        while self._landed:
            await self._moved.park()
        self._landed.update(landed)
        self._deliver.set()

    def refuse(self, pending: Pending, error: Exception) -> None:
        """Have all told who wait for it; never blocks."""
        pending.refuse(error)
        self._dropped.append(pending)
        self._refuse.set()
        if self._over:
            at_once(self._refusals())

    async def announce(self, actor: Writer) -> None:
        """Tell the audience how far a restored actor has come: what it has not seen of that landed unbeknown to us."""
        await in_turns(self._audience.committed(Committed(actor.id, actor.kind, actor.epoch, actor.seq + 1)))

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_delivering)
                nursery.start_soon(self._keep_refusing)
        finally:
            self._over = True
            for pending in self._landed.values():
                self.refuse(pending, Refused("node_stopping"))
            self._landed.clear()
            at_once(self._refusals())

    async def _keep_delivering(self) -> None:
        while True:
            await self._deliver.wait()
            self._deliver = trio.Event()
            self._has_news = False
            self._audience.begin()
            try:
                await in_turns(self._deliveries())
            finally:
                at_once(self._audience.flush())  # nothing any more, unless the walk was cancelled
            if self._has_news:
                for callback in self._to_tell:
                    callback()
            if self._moved:
                self._moved.unpark_all()

    def _deliveries(self) -> Iterator[None]:
        for pending in list(self._landed.values()):
            while not pending.answer_some():
                yield
            try:
                yield from self._pass_on(pending)
            except Exception:  # one actor's audience must not take down the commits of all others
                log.exception("commit.delivery_failed", actor=pending.actor.id)
            del self._landed[pending.actor]
            yield
        yield from self._audience.flush()

    def _pass_on(self, pending: Pending) -> Walk:
        """To its actor and the audience, after all who waited for it."""
        if pending.attached and pending.attached.outbox:
            self._has_news = True
        pending.actor.on_committed(pending)
        return self._audience.committed(pending.committed()) if pending.lines else ()

    async def _keep_refusing(self) -> None:
        """Beside the deliveries: neither waits for the other."""
        while True:
            await self._refuse.wait()
            self._refuse = trio.Event()
            await in_turns(self._refusals())

    def _refusals(self) -> Iterator[None]:
        while self._dropped:
            if self._dropped[0].answer_some():
                self._dropped.popleft()
            yield
