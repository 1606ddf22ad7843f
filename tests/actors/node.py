"""The actors of a node over a journal in memory, on Trio's virtual clock; and what must hold in every test:

- every message gets exactly one reply, and no reply and no event is ahead of what the journal holds;
- the audience gets an actor's events in order;
- after an orderly stop nothing is in flight, and every actor is released;
- snapshot and tail fold to the same bytes as the whole journal.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from attrs import Factory, define, evolve, field

from gameserver.actors.activation import fold
from gameserver.actors.catalog import Catalog
from gameserver.actors.committer import Committer
from gameserver.actors.kinds import Kinds
from gameserver.actors.messages import Birth, Message, Play, Show, ignore
from gameserver.actors.ports import Accepted, Answer, Audience, Committed, History, Reply, Shown
from gameserver.codec import encode
from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.game import classic, skirmish
from gameserver.game.commands import Begin, CreateBattle, CreateGroup, Join
from gameserver.ids import CommandId, IdempotencyKey
from gameserver.turns import Walk
from tests.actors import nasty
from tests.contracts.memory_journal import MemoryJournal, MemoryStore

T0 = 1_700_000_000_000


class VirtualClock:
    def now_ms(self) -> int:
        return T0 + round(trio.current_time() * 1000)


def settings_with(**sections: dict[str, Any]) -> Settings:
    """The default settings with other numbers: `settings_with(actors={"idle_ms": 5})`."""
    settings = Settings()
    changed = {name: evolve(getattr(settings, name), **numbers) for name, numbers in sections.items()}
    return evolve(settings, **changed)


@define(eq=False)
class Asked:
    """A message on its way, and the replies to it."""

    message: Message
    store: MemoryStore
    then: Reply = ignore
    answers: list[Answer] = Factory(list)
    answered_at: float = -1.0
    _event: trio.Event = Factory(trio.Event)

    def __call__(self, answer: Answer) -> None:
        assert not self.answers, f"{self.message.command} got a second reply: {answer} after {self.answers[0]}"
        if isinstance(answer, Accepted | Shown):
            durable = self.store.actors[self.message.actor_id].last_seq
            assert answer.seq <= durable, f"{answer} was seen when only {durable} was durable"
        self.answers.append(answer)
        self.answered_at = trio.current_time()
        self._event.set()
        self.then(answer)

    @property
    def answered(self) -> bool:
        return bool(self.answers)

    async def answer(self) -> Any:
        with trio.fail_after(3_600):
            await self._event.wait()
        return self.answers[0]

    async def code(self) -> str:
        answer = await self.answer()
        return answer.code if isinstance(answer, Refused) else f"not refused: {answer}"


async def answers(asked: Iterable[Asked]) -> list[Any]:
    return [await each.answer() for each in asked]


async def codes(asked: Iterable[Asked]) -> list[str]:
    return [await each.code() for each in asked]


@define
class RecordingAudience:
    """Passes everything on to `then`, if there is one."""

    store: MemoryStore
    batches: list[Committed] = Factory(list)
    flushes: int = 0
    then: Audience | None = None
    _seen: dict[str, int] = Factory(dict)

    def begin(self) -> None:
        if self.then is not None:
            self.then.begin()

    def committed(self, batch: Committed) -> Walk:
        assert batch.seq <= self.store.actors[batch.actor_id].last_seq, "an event was seen before it was durable"
        if batch.lines:
            assert batch.first_seq > self._seen.get(batch.actor_id, 0), "an event was passed on twice"
            self._seen[batch.actor_id] = batch.seq
            self.batches.append(batch)
        return () if self.then is None else self.then.committed(batch)

    def flush(self) -> Walk:
        self.flushes += 1
        return () if self.then is None else self.then.flush()

    def seqs(self, actor_id: str) -> list[int]:
        batches = [batch for batch in self.batches if batch.actor_id == actor_id]
        return [seq for batch in batches for seq in range(batch.first_seq, batch.seq + 1)]


class CountingCatalog(Catalog):
    """Counts the replies of all messages, also of those that actors send each other."""

    def __init__(self, store: MemoryStore, *parts: Any) -> None:
        self.asked: list[Asked] = []
        self._store = store
        super().__init__(*parts)

    def deliver(self, message: Message) -> None:
        if not self.holds(message.actor_id):
            self._count(message)
        super().deliver(message)

    def deliver_if_held(self, message: Message) -> bool:
        if self.holds(message.actor_id):
            self._count(message)
        return super().deliver_if_held(message)

    def _count(self, message: Message) -> None:
        if message.reply is not ignore and not isinstance(message.reply, Asked):
            message.reply = Asked(message, self._store, message.reply)
        if isinstance(message.reply, Asked):
            self.asked.append(message.reply)


@define(eq=False)
class Node:
    settings: Settings
    journal: MemoryJournal
    audience: RecordingAudience
    committer: Committer
    catalog: CountingCatalog
    kinds: Kinds
    nursery: trio.Nursery
    stops: bool = True
    numbers: dict[str, int] = field(factory=dict)

    @property
    def store(self) -> MemoryStore:
        return self.journal.store

    def tell(
        self,
        actor_id: str,
        command: Any,
        identity: CommandId | IdempotencyKey | None = None,
        birth: Birth | None = None,
        within_s: float = 3_600,
    ) -> Asked:
        message = Message(actor_id, command, ignore, trio.current_time() + within_s, identity, birth)
        message.reply = asked = Asked(message, self.store)
        self.catalog.deliver(message)
        return asked

    async def ask(self, actor_id: str, command: Any, *args: Any, **options: Any) -> Any:
        return await self.tell(actor_id, command, *args, **options).answer()

    def do(self, battle_id: str, what: str = "hit", number: int | None = None, **payload: Any) -> Asked:
        """The nasty mode's command, from Ann, under her next number or under the given one."""
        if number is None:
            number = self.numbers[battle_id] = self.numbers.get(battle_id, 0) + 1
        play = Play("battle:do", encode({"battleId": battle_id, "what": what, **payload}), "ann")
        return self.tell(battle_id, play, CommandId("ann", 1, number))

    async def show(self, battle_id: str) -> Any:
        return await self.ask(battle_id, Show())

    async def done(self, battle_id: str) -> list[str]:
        """What the nasty battle's state remembers."""
        return (await self.show(battle_id)).view["play"]["done"]

    async def groups(self) -> None:
        for name, owner in (("wolves", "ann"), ("bears", "dan")):
            await self.ask(name, CreateGroup(name, name, owner), birth=Birth("group"))

    async def battle(self, battle_id: str = "battle-1", mode: str = "nasty") -> str:
        """A running battle of wolves (Ann) against bears (Dan), with nothing in flight."""
        create = CreateBattle(battle_id, "wolves", "bears", mode, "ann", "attacker")
        if "wolves" not in self.store.actors:
            await self.groups()
        for command in (create, Join("dan", ("defender",)), Begin("ann")):
            answer = await self.ask(battle_id, command, birth=Birth("battle", mode))
            assert isinstance(answer, Accepted), answer
        await self.settle()
        return battle_id

    async def settle(self) -> None:
        """Until everything that goes on by itself has been done."""
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked()
            while self.committer._gathering or self.committer._on_the_way or self.committer.delivery._landed:
                await self.committer._turns.park()

    def loaded(self, actor_id: str) -> bool:
        return any(cell.actor_id == actor_id for cell in self.catalog.cells())

    def kill(self) -> None:
        """Nothing more is done or said: `kill -9`, as far as a test can. Its lease ends."""
        self.stops = False
        self.store.live.discard(self.journal.node)
        self.nursery.cancel_scope.cancel()

    def check_folds(self) -> None:
        for actor_id, stored in self.store.actors.items():
            kind = self.kinds.find(stored.kind, stored.mode, stored.rules_version)
            histories = [History(None, stored.rows)]
            if stored.snapshot is not None:
                tail = [row for row in stored.rows if row.seq > stored.snapshot.seq]
                histories.append(History(stored.snapshot, tail))
            memories = [fold(kind, history, self.settings.commands) for history in histories]
            states = {kind.encode_state(each.machine, each.outcomes, each.at_ms) for each in memories}
            assert len(states) == 1, f"{actor_id}: snapshot and tail differ from the whole journal"
            assert memories[0].seq == stored.last_seq

    async def _stop(self) -> None:
        in_memory = [cell.actor_id for cell in self.catalog.cells()]
        with trio.fail_after(3_600):
            await self.catalog.stop()
        assert self.catalog.active == 0
        assert self.committer.events_waiting == 0
        for actor_id in in_memory:
            stored = self.store.actors.get(actor_id)
            assert stored is None or stored.owner != self.journal.node, f"{actor_id} was not released"


@asynccontextmanager
async def running(
    store: MemoryStore | None = None, name: str = "node-a", *, then: Audience | None = None, **sections: Any
) -> AsyncIterator[Node]:
    settings = settings_with(**sections)
    journal = MemoryJournal(store or MemoryStore(), name)
    kinds = Kinds([classic.rules, skirmish.rules, nasty.rules], settings.guards)
    audience = RecordingAudience(journal.store, then=then)
    committer = Committer(journal, audience, settings.journal, settings.postgres)
    parts = (journal, committer, kinds, VirtualClock(), settings.actors, settings.commands)
    catalog = CountingCatalog(journal.store, *parts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        await nursery.start(catalog.run)
        node = Node(settings, journal, audience, committer, catalog, kinds, nursery)
        yield node
        if node.stops:
            await node._stop()
        nursery.cancel_scope.cancel()
    for asked in catalog.asked:
        assert asked.answered, f"{asked.message.command} got no reply"
    node.check_folds()
