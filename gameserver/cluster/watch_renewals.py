"""The watching side: battles that players here watch, and that another node owns.

Every second each of them is renewed with its owner, as far as we know it, together with the seq that all watchers here
have come to. Where nobody knows of an owner, the journal is asked, in one query for all: how far the battle is, and
who owns it. So a watch survives lost events, a lost last event, a new owner, and a bus that is away for an hour:
meanwhile the events come from the journal, a little late.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import structlog
import trio

from gameserver.actors.catalog import Catalog
from gameserver.beats import beat_after
from gameserver.cluster.items import Activated, Events, NotHere, Watching
from gameserver.cluster.links import Links
from gameserver.cluster.owners import Owners
from gameserver.cluster.ports import Facts
from gameserver.cluster.watches import Watches
from gameserver.config import ClusterSettings
from gameserver.errors import JournalError
from gameserver.turns import Walk, in_turns, strides

log = structlog.get_logger()

RENEWED_AT_ONCE: Final = 500
"""Battles in one item: it is written and read in one go."""


class WatchRenewals:
    def __init__(
        self, watches: Watches, catalog: Catalog, owners: Owners, links: Links, facts: Facts, settings: ClusterSettings
    ) -> None:
        self._watches, self._catalog, self._owners, self._links = watches, catalog, owners, links
        self._facts, self._settings = facts, settings
        self._new: dict[str, None] = {}  # in the order in which they came, as sets of texts are not
        self._lost: dict[str, None] = {}
        self._done: set[str] = set()
        self._unheard: dict[str, list[str]] = {}
        self._failing = False
        self._wake, self._look = trio.Event(), trio.Event()
        watches.on_first(self._begun)
        links.on(Events, self._passed)
        links.on(Activated, self._activated)
        links.on(NotHere, self._not_here)

    # -- what is heard ------------------------------------------------------------------------------------------------

    def _passed(self, owner: str, events: Events) -> Walk:
        self._owners.learn(events.battle_id, owner)
        self._done.discard(events.battle_id)
        return self._watches.pass_on(events)

    def _activated(self, owner: str, activated: Activated) -> Iterator[None]:
        battle_id = activated.battle_id
        if self._watches.followed(battle_id) or self._owners.learned(battle_id):
            self._owners.learn(battle_id, owner)
        if self._watches.followed(battle_id):
            self._done.discard(battle_id)
            yield from self._watches.pass_on(Events(battle_id, activated.seq + 1))
            yield from self._renew([battle_id])

    def _not_here(self, node: str, not_here: NotHere) -> None:
        self._unheard.pop(node, None)
        for battle_id in not_here.battle_ids:
            if self._owners.learned(battle_id) == node:
                self._owners.forget(battle_id)
            self._lost[battle_id] = None  # until the next renewal: if an owner is on its way, it announces itself

    def _begun(self, battle_id: str) -> None:
        """The first here who watches this battle, and nobody has said so yet."""
        self._new[battle_id] = None
        self._done.discard(battle_id)
        self._wake.set()

    # -- renewing -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_renewing)
            nursery.start_soon(self._keep_looking_up)

    async def _keep_renewing(self) -> None:
        renew_at = trio.current_time()
        while True:
            with trio.move_on_at(renew_at):
                await self._wake.wait()
            self._wake = trio.Event()
            if trio.current_time() >= renew_at:
                renew_at = beat_after(trio.current_time(), self._settings.watch_renew_ms / 1000)
                self._new = {}
                await in_turns(self._renew_all())
            else:
                new, self._new = self._new, {}
                await in_turns(self._renew(new))
            if self._lost:
                self._look.set()

    async def _keep_looking_up(self) -> None:
        """Beside the renewals: a slow database must not end them."""
        while True:
            await self._look.wait()
            self._look = trio.Event()
            await self._look_up()

    def _renew_all(self) -> Iterator[None]:
        """Where an owner has not even answered the last time, the journal is asked, too."""
        self._watches.let_go()
        battles = self._watches.battles()
        self._done.intersection_update(battles)
        unheard, self._unheard = self._unheard, {}
        for battle_ids in unheard.values():
            self._lost |= dict.fromkeys(battle_ids)
        yield from self._renew([each for each in battles if each not in self._done], self._unheard)

    def _renew(self, battle_ids: Iterable[str], unheard: dict[str, list[str]] | None = None) -> Iterator[None]:
        """Say to their owners what is watched. Where battles are that are here, we know."""
        by_owner: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for battle_id in battle_ids:
            seen_seq = self._watches.seen_seq(battle_id)
            owner = self._owners.learned(battle_id)
            if seen_seq is None:
                pass
            elif self._catalog.holds(battle_id):
                here_seq = self._catalog.durable_seq(battle_id)
                if here_seq is not None and here_seq > seen_seq:
                    yield from self._watches.pass_on(Events(battle_id, here_seq + 1))
            elif owner is None:
                self._lost[battle_id] = None
            else:
                by_owner[owner].append((battle_id, seen_seq))
            yield
        for owner, watched in by_owner.items():
            if unheard is not None:  # before it is said: the answer may come while we pause
                unheard[owner] = [battle_id for battle_id, _ in watched]
            for some in strides(watched, RENEWED_AT_ONCE):
                if not self._links.send(owner, Watching(tuple(some))):
                    self._lost |= {battle_id: None for battle_id, _ in some}
                yield

    async def _look_up(self) -> None:
        """Ask the journal about those of which nobody knows."""
        lost, self._lost = self._lost, {}
        followed = [battle_id for battle_id in lost if self._watches.followed(battle_id)]
        if not followed:
            return
        try:
            found = await self._facts.whereabouts(followed)
        except JournalError as error:  # asked again at the next renewal
            if not self._failing:
                log.warning("watches.look_up_failed", battles=len(followed), error=str(error))
            self._failing = True
            return
        self._failing = False
        owned = []
        for each in found:
            await in_turns(self._watches.pass_on(Events(each.actor_id, each.last_seq + 1)))
            if each.owner is None:
                # No timer, not even to tell its groups: all of it is seen, or being read.
                if self._watches.over(each.actor_id) and not each.has_timer:
                    self._done.add(each.actor_id)
            else:
                self._owners.learn(each.actor_id, each.owner)
                owned.append(each.actor_id)
        if self._links.available:
            await in_turns(self._renew([battle_id for battle_id in owned if self._owners.learned(battle_id)]))
