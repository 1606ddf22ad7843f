"""Moving actors to where placement wants them: after the nodes have changed, and before this one leaves.

Placement says where actors *without* an owner come to life; an owner keeps what it has until it hands it over. That
happens once per change of the view, when this has stood still for a while, a few actors at a time: snapshot, release,
and a word to the next owner, if a timer runs. Whoever sends a command meanwhile waits for a moment, and is passed on.

A node only ever gives, and only after it has seen a change. So two nodes whose views differ cannot push an actor to and
fro: the one that got it keeps it until its own view changes.
"""

from collections.abc import Callable, Iterator

import structlog
import trio

from gameserver.actors.catalog import Catalog
from gameserver.actors.messages import Message, Wake, ignore
from gameserver.cluster.membership import Membership
from gameserver.cluster.owners import Owners
from gameserver.cluster.requests import Requests
from gameserver.config import ClusterSettings
from gameserver.turns import in_turns

log = structlog.get_logger()


class HandOver:
    def __init__(
        self, catalog: Catalog, membership: Membership, owners: Owners, requests: Requests, settings: ClusterSettings
    ) -> None:
        self._catalog, self._owners, self._requests, self._settings = catalog, owners, requests, settings
        self._places: list[tuple[str, ...]] = []
        self._changed = trio.Event()
        membership.on_change(self._note_change)

    def _note_change(self) -> None:
        """What counts is who takes actors, and which."""
        places = [(info.name, *info.rules) for info in self._owners.owning()]
        if places != self._places:
            self._places = places
            self._changed.set()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            await self._settled()
            await self._hand_over_all(self._settings.hand_over_pause_ms / 1000, until=self._changed.is_set)

    async def _settled(self) -> None:
        """Until the view has stood still for a while; nodes come and go in bursts."""
        while self._changed.is_set():
            self._changed = trio.Event()
            with trio.move_on_after(self._settings.settle_ms / 1000):
                await self._changed.wait()

    async def leave(self) -> None:
        """Hand over everything, as this node takes no actors any more; who has no other place stays."""
        await self._hand_over_all(0, until=lambda: False)

    async def _hand_over_all(self, pause_s: float, until: Callable[[], bool]) -> None:
        """Hand over each actor whose place is on another node."""
        limit, handed_over = trio.CapacityLimiter(self._settings.hand_over_limit), 0
        misplaced: list[tuple[str, str]] = []
        await in_turns(self._find_misplaced(misplaced))
        async with trio.open_nursery() as nursery:
            for actor_id, rules in misplaced:
                if until():
                    break
                to = self._place_elsewhere(actor_id, rules)
                if to is None:
                    continue
                await limit.acquire_on_behalf_of(actor_id)
                nursery.start_soon(self._hand_over, actor_id, to, limit)
                handed_over += 1
                await trio.sleep(pause_s)
        if handed_over:
            log.info("actors.handed_over", actors=handed_over)

    def _find_misplaced(self, misplaced: list[tuple[str, str]]) -> Iterator[None]:
        for actor_id, rules in self._catalog.rules_of_all():
            if self._place_elsewhere(actor_id, rules) is not None:
                misplaced.append((actor_id, rules))
            yield

    def _place_elsewhere(self, actor_id: str, rules: str) -> str | None:
        to = self._owners.place(actor_id, rules)
        return None if to == self._owners.here else to

    async def _hand_over(self, actor_id: str, to: str, limit: trio.CapacityLimiter) -> None:
        try:
            has_timer = await self._catalog.hand_over(actor_id, to)
        finally:
            limit.release_on_behalf_of(actor_id)
        self._owners.learn(actor_id, to)
        if has_timer:
            wake = Message(actor_id, Wake(), ignore, trio.current_time() + self._settings.request_limit_ms / 1000)
            self._requests.ask(to, wake, named=True)
