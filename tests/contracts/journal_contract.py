"""What every journal must do, whatever it is made of; `test_journals.py` runs this with each adapter.

A `World` is one store with nodes: `journal(name)` is the journal of a new process of that node, whose lease runs until
`expire(name)` or until the next one of its name.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytest
import trio

from gameserver.actors.ports import (
    Activation,
    Entry,
    Journal,
    JournalRow,
    KeyRow,
    OutboxRow,
    Projection,
    Sleeper,
    Snapshot,
)
from gameserver.errors import ActorNotFound, ActorSetAside, CommitRejected, LeaseLost, OwnedElsewhere
from gameserver.ids import new_id

RULES = ["battle/classic/3", "group//1"]


class World(Protocol):
    async def journal(self, name: str) -> Journal: ...

    async def expire(self, name: str) -> None: ...

    async def table(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The rows of a projection's table, of `outbox` or of `idempotency_keys`, in order of writing."""
        ...


def entry(actor: Activation, first_seq: int, seq: int | None = None, **more: Any) -> Entry:
    seq = seq or first_seq
    lines = b"\n".join(b'{"seq":%d}' % number for number in range(first_seq, seq + 1))
    row = JournalRow(first_seq, seq, actor.rules_version, b"[1]", lines, b"[2]")
    return Entry(actor.actor_id, actor.epoch, row, more.pop("wake_at_ms", None), **more)


def score(actor: Activation, points: int) -> Projection:
    """A row of the smallest table."""
    row = {"battle_id": actor.actor_id, "group_id": actor.actor_id, "score": points, "finished_at_ms": 5}
    return Projection("battle_scores", (actor.actor_id,), row)


def key_row(text: str, seq: int, player_id: str | None = None) -> KeyRow:
    return KeyRow(player_id or new_id(), text, "hash", seq, b'{"answer":1}')


async def created(journal: Journal) -> Activation:
    return await journal.create(new_id(), "battle", "classic", 3)


async def asleep(
    journal: Journal, now_ms: int, limit: int = 5, rules: Sequence[str] = RULES, after: Sleeper | None = None
) -> list[str]:
    return [each.actor_id for each in await journal.sleepers(now_ms, rules, limit, after)]


class JournalContract:
    async def test_creation_activates_and_happens_once(self, world: World) -> None:
        journal, actor_id = await world.journal("node-a"), new_id()
        first = await journal.create(actor_id, "battle", "classic", 3)
        assert (first.actor_id, first.kind, first.mode, first.rules_version) == (actor_id, "battle", "classic", 3)
        assert (first.epoch, first.last_seq) == (1, 0)
        assert len(first.seed) >= 32
        again = await journal.create(actor_id, "group", "other", 9)
        assert (again.kind, again.mode, again.rules_version, again.seed) == ("battle", "classic", 3, first.seed)
        assert again.epoch == 2
        assert (await created(journal)).seed != first.seed

    async def test_unknown_actor(self, world: World) -> None:
        journal = await world.journal("node-a")
        with pytest.raises(ActorNotFound):
            await journal.activate(new_id())
        history = await journal.load(new_id())
        assert (history.snapshot, list(history.rows)) == (None, [])

    async def test_what_was_appended_is_loaded(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        entries = [entry(actor, 1, 3), entry(actor, 4), entry(actor, 5, 6)]
        for one in entries:
            assert await journal.append([one]) == {actor.actor_id}
        history = await journal.load(actor.actor_id)
        assert history.snapshot is None
        assert list(history.rows) == [one.row for one in entries]
        assert (await journal.activate(actor.actor_id)).last_seq == 6

    async def test_nothing_to_append(self, world: World) -> None:
        assert await (await world.journal("node-a")).append([]) == frozenset()

    async def test_one_overtaken_actor_among_three(self, world: World) -> None:
        journal = await world.journal("node-a")
        one, two, three = [await created(journal) for _ in range(3)]
        await journal.activate(two.actor_id)
        batch = [
            entry(actor, 1, projections=[score(actor, 7)], outbox=[OutboxRow("news", 1, {})])
            for actor in (one, two, three)
        ]
        assert await journal.append(batch) == {one.actor_id, three.actor_id}
        assert list((await journal.load(two.actor_id)).rows) == []
        written = {str(row["battle_id"]) for row in await world.table("battle_scores")}
        assert written == {one.actor_id, three.actor_id}
        assert {str(row["actor_id"]) for row in await world.table("outbox")} == {one.actor_id, three.actor_id}

    async def test_no_hole_and_no_double(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        assert await journal.append([entry(actor, 2)]) == frozenset()
        assert await journal.append([entry(actor, 1)]) == {actor.actor_id}
        assert await journal.append([entry(actor, 1)]) == frozenset()
        assert await journal.append([entry(actor, 3)]) == frozenset()
        assert await journal.append([entry(actor, 2)]) == {actor.actor_id}

    async def test_a_poison_row_keeps_the_whole_batch_out(self, world: World) -> None:
        journal = await world.journal("node-a")
        good, bad = await created(journal), await created(journal)
        for text in ("a\0b", "half \ud800 pair"):
            poison = [OutboxRow("news", 1, {"name": text})]
            with pytest.raises(CommitRejected):
                await journal.append([entry(good, 1, projections=[score(good, 1)]), entry(bad, 1, outbox=poison)])
        with pytest.raises(CommitRejected):
            await journal.append([entry(good, 1), entry(bad, 1, keys=[key_row("a\0b", 1)])])
        assert list((await journal.load(good.actor_id)).rows) == []
        assert await world.table("battle_scores") == []
        assert await journal.append([entry(good, 1)]) == {good.actor_id}

    async def test_projections_are_replaced_as_whole_rows(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        await journal.append([entry(actor, 1, projections=[score(actor, 1)])])
        await journal.append([entry(actor, 2, projections=[score(actor, 2), score(actor, 3)])])
        rows = await world.table("battle_scores")
        assert [(str(row["battle_id"]), row["score"]) for row in rows] == [(actor.actor_id, 3)]

    async def test_outbox_rows_in_order(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        news = [OutboxRow("b", 1, {"n": [1]}), OutboxRow("a", 2, {"n": 2})]
        await journal.append([entry(actor, 1, 2, outbox=news)])
        rows = await world.table("outbox")
        assert [OutboxRow(row["topic"], row["seq"], row["payload"]) for row in rows] == news

    async def test_the_first_outcome_of_a_key_stays(self, world: World) -> None:
        journal = await world.journal("node-a")
        one, two, player = await created(journal), await created(journal), new_id()
        assert await journal.append([entry(one, 1, keys=[key_row("k", 1, player)])]) == {one.actor_id}
        assert await journal.append([entry(two, 1, 2, keys=[key_row("k", 2, player)])]) == {two.actor_id}
        [row] = await world.table("idempotency_keys")
        assert (str(row["player_id"]), row["key"], row["seq"], row["answer"]) == (player, "k", 1, b'{"answer":1}')
        assert (str(row["actor_id"]), row["request_hash"]) == (one.actor_id, "hash")

    async def test_read_gives_what_was_missed(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        entries = [entry(actor, 1, 3), entry(actor, 4), entry(actor, 5, 6)]
        for one in entries:
            await journal.append([one])

        async def seqs(after: int, up_to: int, limit: int = 100) -> list[int] | None:
            rows = await journal.read(actor.actor_id, after, up_to, limit)
            return None if rows is None else [row.seq for row in rows]

        assert await seqs(0, 6) == [3, 4, 6]
        assert await seqs(1, 4) == [3, 4]
        assert await seqs(3, 4) == [4]
        assert await seqs(3, 5) == [4, 6]
        assert await seqs(6, 6) == []
        assert await seqs(0, 7) is None
        assert await seqs(0, 6, limit=5) is None
        assert await seqs(1, 6, limit=5) == [3, 4, 6]

    async def test_a_live_owner_keeps_its_actor(self, world: World) -> None:
        mine, other = await world.journal("node-a"), await world.journal("node-b")
        actor = await created(mine)
        with pytest.raises(OwnedElsewhere) as refused:
            await other.activate(actor.actor_id)
        assert refused.value.owner == "node-a"
        assert await mine.append([entry(actor, 1)]) == {actor.actor_id}
        assert (await mine.activate(actor.actor_id)).epoch == actor.epoch + 1

    async def test_a_released_actor_goes_to_whoever_wants_it(self, world: World) -> None:
        mine, other = await world.journal("node-a"), await world.journal("node-b")
        actor = await created(mine)
        await mine.release(actor.actor_id, actor.epoch - 1)
        with pytest.raises(OwnedElsewhere):
            await other.activate(actor.actor_id)
        await mine.release(actor.actor_id, actor.epoch)
        taken = await other.activate(actor.actor_id)
        assert taken.epoch == actor.epoch + 1
        await mine.release(actor.actor_id, actor.epoch)
        assert await other.append([entry(taken, 1)]) == {actor.actor_id}

    async def test_an_owner_without_lease_loses_its_actor_and_is_fenced(self, world: World) -> None:
        mine, other = await world.journal("node-a"), await world.journal("node-b")
        actor = await created(mine)
        await world.expire("node-a")
        assert await mine.append([entry(actor, 1)]) == {actor.actor_id}  # the epoch fences, not the clock
        taken = await other.activate(actor.actor_id)
        assert taken.last_seq == 1
        assert await mine.append([entry(actor, 2)]) == frozenset()
        with pytest.raises(LeaseLost):
            await mine.activate(actor.actor_id)
        assert await other.append([entry(taken, 2)]) == {actor.actor_id}

    async def test_two_nodes_race_for_a_released_actor(self, world: World) -> None:
        mine, other = await world.journal("node-a"), await world.journal("node-b")
        for _ in range(10):
            actor = await created(mine)
            await mine.release(actor.actor_id, actor.epoch)
            won: list[Activation] = []

            async def race(journal: Journal, actor_id: str, won: list[Activation]) -> None:
                with contextlib.suppress(OwnedElsewhere):
                    won.append(await journal.activate(actor_id))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(race, mine, actor.actor_id, won)
                nursery.start_soon(race, other, actor.actor_id, won)
            assert [activation.epoch for activation in won] == [actor.epoch + 1]

    async def test_a_snapshot_replaces_the_rows_up_to_it(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        for number in (1, 2, 3):
            await journal.append([entry(actor, number)])
        await journal.save_snapshot(actor.actor_id, actor.epoch, Snapshot(2, 3, b"two"))
        history = await journal.load(actor.actor_id)
        assert history.snapshot == Snapshot(2, 3, b"two")
        assert [row.seq for row in history.rows] == [3]
        assert [row.seq for row in await journal.read(actor.actor_id, 0, 3, 10) or ()] == [1, 2, 3]

    async def test_a_snapshot_that_must_not_be_kept(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        await journal.append([entry(actor, 1, 2)])
        await journal.save_snapshot(actor.actor_id, actor.epoch, Snapshot(2, 3, b"two"))
        for epoch, snapshot in (
            (actor.epoch, Snapshot(1, 3, b"older")),
            (actor.epoch, Snapshot(2, 3, b"again")),
            (actor.epoch, Snapshot(3, 3, b"not durable yet")),
            (actor.epoch - 1, Snapshot(2, 3, b"overtaken")),
        ):
            await journal.save_snapshot(actor.actor_id, epoch, snapshot)
            assert (await journal.load(actor.actor_id)).snapshot == Snapshot(2, 3, b"two")

    async def test_set_aside_and_let_back(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        await journal.append([entry(actor, 1, wake_at_ms=10)])
        await journal.set_aside(actor.actor_id, actor.epoch - 1, "overtaken")
        assert await asleep(journal, 10) == [actor.actor_id]
        await journal.set_aside(actor.actor_id, actor.epoch, "crashed: a\0b \ud800")
        assert await asleep(journal, 10) == []
        with pytest.raises(ActorSetAside):
            await journal.activate(actor.actor_id)
        assert await journal.let_back(actor.actor_id)
        assert not await journal.let_back(actor.actor_id)
        assert await asleep(journal, 10) == [actor.actor_id]
        assert (await journal.activate(actor.actor_id)).last_seq == 1

    async def test_who_was_released_sleeps_until_its_timer_is_due(self, world: World) -> None:
        mine, other = await world.journal("node-a"), await world.journal("node-b")
        late, early, never, later = [await created(mine) for _ in range(4)]
        batch = zip((late, early, never, later), (20, 10, None, 40), strict=True)
        await mine.append([entry(actor, 1, wake_at_ms=at_ms) for actor, at_ms in batch])
        assert await asleep(mine, 30) == [early.actor_id, late.actor_id]
        assert await asleep(other, 30) == []
        for actor in (late, early, never, later):
            await mine.release(actor.actor_id, actor.epoch)
        assert await asleep(other, 9) == []
        (first,) = await other.sleepers(30, RULES, 1)
        assert first == Sleeper(early.actor_id, 10, "battle/classic/3", None, first.incarnation)
        assert await asleep(other, 30, after=first) == [late.actor_id]
        await mine.append([entry(early, 2)])
        assert await asleep(other, 30) == [late.actor_id]

    async def test_who_has_a_timer_sleeps_as_soon_as_its_process_is_gone(self, world: World) -> None:
        mine, other = await world.journal("node-a"), await world.journal("node-b")
        late, early, never = [await created(mine) for _ in range(3)]
        batch = zip((late, early, never), (2_000, 1_000, None), strict=True)
        await mine.append([entry(actor, 1, wake_at_ms=at_ms) for actor, at_ms in batch])
        assert await asleep(mine, 30) == await asleep(other, 30) == []
        await world.expire("node-a")
        (first,) = await other.sleepers(30, RULES, 1)
        assert (first.actor_id, first.wake_at_ms, first.owner) == (early.actor_id, 1_000, "node-a")
        assert await asleep(other, 30, after=first) == [late.actor_id]
        await other.activate(early.actor_id)
        assert await asleep(other, 30) == [late.actor_id]

    async def test_a_new_process_of_a_name_finds_what_the_last_one_has_left(self, world: World) -> None:
        before, other = await world.journal("node-a"), await world.journal("node-b")
        one, two = await created(before), await created(before)
        await before.append([entry(actor, 1, wake_at_ms=1_000) for actor in (one, two)])
        after = await world.journal("node-a")
        assert (
            sorted(await asleep(after, 30)) == sorted(await asleep(other, 30)) == sorted([one.actor_id, two.actor_id])
        )
        assert (await after.activate(one.actor_id)).epoch == one.epoch + 1
        with pytest.raises(OwnedElsewhere):
            await other.activate(one.actor_id)
        assert (await other.activate(two.actor_id)).epoch == two.epoch + 1
        with pytest.raises(OwnedElsewhere):
            await after.activate(two.actor_id)
        assert await before.append([entry(actor, 2) for actor in (one, two)]) == frozenset()
        assert await asleep(after, 30) == await asleep(other, 30) == []

    async def test_a_process_that_is_gone_and_asks_finds_what_it_had_once(self, world: World) -> None:
        journal = await world.journal("node-a")
        actor = await created(journal)
        await journal.append([entry(actor, 1, wake_at_ms=10)])
        await world.expire("node-a")
        assert await asleep(journal, 30) == [actor.actor_id]
        assert await asleep(journal, 5) == [actor.actor_id]

    async def test_timers_of_unknown_rules_do_not_fill_the_limit(self, world: World) -> None:
        journal = await world.journal("node-a")
        pinned = [("battle", "other", 3), ("battle", "classic", 2), ("group", "", 2), ("battle", "a/b", 3)]
        unknown = [await journal.create(new_id(), *rules) for rules in pinned]
        battle, group = await created(journal), await journal.create(new_id(), "group", "", 1)
        await journal.append([entry(actor, 1, wake_at_ms=10) for actor in unknown])
        await journal.append([entry(battle, 1, wake_at_ms=30), entry(group, 1, wake_at_ms=20)])
        for _ in range(2):
            assert await asleep(journal, 30, 2) == [group.actor_id, battle.actor_id]
            assert await asleep(journal, 30, 2, ["battle/classic/3"]) == [battle.actor_id]
            assert await asleep(journal, 30, 2, ["battle/a/b/3"]) == [unknown[-1].actor_id]
            assert await asleep(journal, 30, 2, []) == []
            await world.expire("node-a")
            journal = await world.journal("node-b")
