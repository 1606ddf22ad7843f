"""A journal in memory that keeps the port's promises, for tests of actors on Trio's virtual clock.

Several nodes share one `MemoryStore`, each through a `MemoryJournal` of its own. What may go wrong with the next append
is asked for beforehand:

    with journal.holding() as held:  ...  held.release()   it waits, and lands only when released
    journal.fail_next(StorageUnavailable("away"))           nothing is written
    lost = journal.lose_next(lands=True)                    it lands, but the caller gets OutcomeUnknown
    lost = journal.lose_next(lands=False); lost.land()      the same, but it lands (or is fenced) later
    journal.poison(lambda entry: ...)                       a batch with such an entry is rejected

All state changes happen between two checkpoints, as those of one statement do.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import trio
from attrs import Factory, asdict, define, field

from gameserver.actors.ports import Activation, Entry, History, JournalRow, KeyRow, OutboxRow, Sleeper, Snapshot
from gameserver.errors import (
    ActorNotFound,
    ActorSetAside,
    CommitRejected,
    JournalError,
    LeaseLost,
    OutcomeUnknown,
    OwnedElsewhere,
)


@define
class StoredActor:
    kind: str
    mode: str
    rules_version: int
    seed: str
    epoch: int = 0
    last_seq: int = 0
    owner: str | None = None
    incarnation: str = ""
    wake_at_ms: int | None = None
    set_aside: str | None = None
    rows: list[JournalRow] = Factory(list)
    snapshot: Snapshot | None = None

    @property
    def rules(self) -> str:
        return f"{self.kind}/{self.mode}/{self.rules_version}"


@define
class MemoryStore:
    """What is durable, and who may own: `live` holds the names of nodes whose lease runs, `incarnations` what they are
    called now."""

    actors: dict[str, StoredActor] = Factory(dict)
    live: set[str] = Factory(set)
    incarnations: dict[str, str] = Factory(dict)
    projections: dict[str, dict[tuple[str, ...], Mapping[str, Any]]] = Factory(dict)
    outbox: list[tuple[str, OutboxRow]] = Factory(list)
    keys: dict[tuple[str, str], tuple[str, KeyRow]] = Factory(dict)
    dice: Random = Factory(Random)

    def apply(self, entries: Sequence[Entry]) -> frozenset[str]:
        landed = [entry for entry in entries if self._fits(entry)]
        for entry in landed:
            actor = self.actors[entry.actor_id]
            actor.last_seq, actor.wake_at_ms = entry.row.seq, entry.wake_at_ms
            actor.rows.append(entry.row)
            for projection in entry.projections:
                self.projections.setdefault(projection.table, {})[projection.key] = projection.row
            self.outbox.extend((entry.actor_id, row) for row in entry.outbox)
            for key in entry.keys:
                self.keys.setdefault((key.player_id, key.key), (entry.actor_id, key))
        return frozenset(entry.actor_id for entry in landed)

    def lives(self, owner: str | None, incarnation: str) -> bool:
        return owner in self.live and self.incarnations.get(str(owner), "") == incarnation

    def key_rows(self) -> Iterator[Mapping[str, Any]]:
        for actor_id, key in self.keys.values():
            yield {"actor_id": actor_id} | asdict(key)

    def _fits(self, entry: Entry) -> bool:
        actor = self.actors.get(entry.actor_id)
        return actor is not None and (actor.epoch, actor.last_seq) == (entry.epoch, entry.row.first_seq - 1)


@define
class Held:
    """An append that waits before it is written; `arrived` is set when there is one."""

    arrived: trio.Event = Factory(trio.Event)
    released: trio.Event = Factory(trio.Event)

    def release(self) -> None:
        self.released.set()


@define
class Lost:
    """An append whose answer got lost."""

    store: MemoryStore
    lands: bool
    entries: Sequence[Entry] = ()

    def land(self) -> frozenset[str]:
        return self.store.apply(self.entries)


@define
class MemoryJournal:
    store: MemoryStore = Factory(MemoryStore)
    node: str = "node-a"
    incarnation: str = ""
    latency_s: float = 0.0
    appends: list[Sequence[Entry]] = Factory(list)
    _next: list[Held | Lost | JournalError] = field(factory=list, init=False)
    _poisonous: Callable[[Entry], bool] = field(default=lambda entry: False, init=False)

    def __attrs_post_init__(self) -> None:
        self.store.live.add(self.node)
        self.store.incarnations[self.node] = self.incarnation

    # what shall go wrong

    @contextlib.contextmanager
    def holding(self) -> Iterator[Held]:
        """The next append waits until released, at the latest until the end of the block."""
        held = Held()
        self._next.append(held)
        try:
            yield held
        finally:
            held.release()

    def fail_next(self, error: JournalError) -> None:
        self._next.append(error)

    def lose_next(self, *, lands: bool) -> Lost:
        lost = Lost(self.store, lands)
        self._next.append(lost)
        return lost

    def poison(self, poisonous: Callable[[Entry], bool]) -> None:
        self._poisonous = poisonous

    # the port

    async def create(self, actor_id: str, kind: str, mode: str, rules_version: int) -> Activation:
        await trio.sleep(self.latency_s)
        self.store.actors.setdefault(
            actor_id, StoredActor(kind, mode, rules_version, f"{self.store.dice.getrandbits(256):064x}")
        )
        return await self.activate(actor_id)

    async def activate(self, actor_id: str) -> Activation:
        await trio.sleep(self.latency_s)
        actor = self.store.actors.get(actor_id)
        if actor is None:
            raise ActorNotFound(actor_id)
        if actor.set_aside is not None:
            raise ActorSetAside(actor_id)
        if not self.store.lives(self.node, self.incarnation):
            raise LeaseLost(self.node)
        if not self._may_take(actor):
            raise OwnedElsewhere(str(actor.owner))
        actor.epoch, actor.owner, actor.incarnation = actor.epoch + 1, self.node, self.incarnation
        return Activation(
            actor_id, actor.kind, actor.mode, actor.rules_version, actor.seed, actor.epoch, actor.last_seq
        )

    async def load(self, actor_id: str) -> History:
        await trio.sleep(self.latency_s)
        actor = self.store.actors.get(actor_id)
        if actor is None:
            return History(None, [])
        after = actor.snapshot.seq if actor.snapshot else 0
        return History(actor.snapshot, [row for row in actor.rows if row.seq > after])

    async def read(self, actor_id: str, after: int, up_to: int, limit: int) -> Sequence[JournalRow] | None:
        await trio.sleep(self.latency_s)
        if after >= up_to:
            return ()
        actor = self.store.actors.get(actor_id)
        if actor is None or up_to - after > limit or up_to > actor.last_seq:
            return None
        rows = [row for row in actor.rows if row.seq > after and row.first_seq <= up_to]
        return rows if rows and rows[0].first_seq <= after + 1 else None

    async def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        self.appends.append(entries)
        await trio.sleep(self.latency_s)
        match self._next.pop(0) if self._next else None:
            case JournalError() as error:
                raise error
            case Held() as held:
                held.arrived.set()
                await held.released.wait()
            case Lost() as lost:
                lost.entries = entries
                if lost.lands:
                    lost.land()
                raise OutcomeUnknown("the answer got lost")
        if any(self._poisonous(entry) or not _storable(entry) for entry in entries):
            raise CommitRejected("poison")
        return self.store.apply(entries)

    async def save_snapshot(self, actor_id: str, epoch: int, snapshot: Snapshot) -> None:
        await trio.sleep(self.latency_s)
        actor = self.store.actors.get(actor_id)
        if actor is None or actor.epoch != epoch or snapshot.seq > actor.last_seq:
            return
        if actor.snapshot is None or actor.snapshot.seq < snapshot.seq:
            actor.snapshot = snapshot

    async def release(self, actor_id: str, epoch: int) -> None:
        await trio.sleep(self.latency_s)
        actor = self.store.actors.get(actor_id)
        if actor is not None and (actor.epoch, actor.owner) == (epoch, self.node):
            actor.owner = None

    async def set_aside(self, actor_id: str, epoch: int, reason: str) -> None:
        await trio.sleep(self.latency_s)
        actor = self.store.actors.get(actor_id)
        if actor is not None and actor.epoch == epoch:
            actor.set_aside, actor.owner = reason, None

    async def let_back(self, actor_id: str) -> bool:
        await trio.sleep(self.latency_s)
        actor = self.store.actors.get(actor_id)
        if actor is None or actor.set_aside is None:
            return False
        actor.set_aside = None
        return True

    async def sleepers(
        self, now_ms: int, rules: Sequence[str], limit: int, after: Sleeper | None = None
    ) -> Sequence[Sleeper]:
        await trio.sleep(self.latency_s)
        found = [
            Sleeper(actor_id, actor.wake_at_ms, actor.rules, actor.owner, actor.incarnation)
            for actor_id, actor in self.store.actors.items()
            if actor.wake_at_ms is not None
            and actor.set_aside is None
            and actor.rules in rules
            and self._sleeps(actor, due=actor.wake_at_ms <= now_ms)
        ]
        found.sort(key=_order)
        return [each for each in found if after is None or _order(each) > _order(after)][:limit]

    def _sleeps(self, actor: StoredActor, *, due: bool) -> bool:
        if actor.owner is not None and not self.store.lives(actor.owner, actor.incarnation):
            return True
        return due and (actor.owner is None or self._is_mine(actor))

    def _is_mine(self, actor: StoredActor) -> bool:
        return (actor.owner, actor.incarnation) == (self.node, self.incarnation)

    def _may_take(self, actor: StoredActor) -> bool:
        return actor.owner in (None, self.node) or not self.store.lives(actor.owner, actor.incarnation)


def _order(sleeper: Sleeper) -> tuple[int, str]:
    return sleeper.wake_at_ms, sleeper.actor_id


def _storable(entry: Entry) -> bool:
    """PostgreSQL's texts and JSON take no NUL and no half of a surrogate pair."""
    texts = [json.dumps([*(p.row for p in entry.projections), *(o.payload for o in entry.outbox)], ensure_ascii=False)]
    texts += [key.key for key in entry.keys]
    with contextlib.suppress(UnicodeEncodeError):
        return not any("\0" in text or "\\u0000" in text for text in texts if text.encode())
    return False
