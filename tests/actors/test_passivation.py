"""Idle actors leave memory and come back as they were."""

from itertools import pairwise

import pytest
import trio

from gameserver.actors.messages import Show
from gameserver.actors.ports import Accepted, Shown, Snapshot
from gameserver.errors import StorageUnavailable
from tests.actors.node import Node, answers, running

SOON = {"idle_ms": 2_000, "sweep_interval_ms": 500}


async def test_an_idle_actor_leaves_memory_released_and_with_a_snapshot(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        await node.do(battle).answer()
        await trio.sleep(4)
        stored = node.store.actors[battle]
        assert not node.loaded(battle)
        assert stored.owner is None
        assert stored.snapshot.seq == stored.last_seq
        assert await node.done(battle) == ["hit"]


async def test_an_actor_that_is_spoken_to_stays(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        activated = node.catalog.counters.activated
        for _ in range(10):
            await node.do(battle).answer()
            await trio.sleep(1)
        assert node.loaded(battle)
        assert node.catalog.counters.activated == activated


async def test_nobody_leaves_while_something_is_in_flight(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        with node.journal.holding() as held:
            hit = node.do(battle)
            await held.arrived.wait()
            await trio.sleep(60)
            assert node.loaded(battle)
        assert isinstance(await hit.answer(), Accepted)
        await trio.sleep(4)
        assert not node.loaded(battle)


async def test_a_message_that_arrives_during_the_release_is_served(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        await node.do(battle).answer()
        node.journal.latency_s = 0.4
        while node.store.actors[battle].snapshot is None:
            await trio.sleep(0.01)
        assert node.loaded(battle)
        shown, accepted = await answers([node.tell(battle, Show()), node.do(battle)])
        assert shown.view["play"]["done"] == ["hit"]
        assert isinstance(accepted, Accepted)


async def test_a_slow_release_does_not_bring_the_actor_back(autojump_clock):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        activated = node.catalog.counters.activated
        node.journal.latency_s = 3
        await trio.sleep(20)
        assert not node.loaded(battle)
        assert node.catalog.counters.activated == activated


async def test_storage_that_is_away_at_the_release_refuses_who_waits_and_loses_nothing(autojump_clock, monkeypatch):
    async with running(actors=SOON) as node:
        battle = await node.battle()
        await node.do(battle).answer()

        releasing = trio.Event()

        async def away(*_):
            releasing.set()
            await trio.sleep(1)
            raise StorageUnavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(type(node.journal), "save_snapshot", away)
            await releasing.wait()
            waiting = node.tell(battle, Show())
            assert await waiting.code() == "storage_unavailable"
        assert await node.done(battle) == ["hit"]


async def test_a_snapshot_is_written_every_so_many_events(autojump_clock):
    async with running(actors={"snapshot_every": 10, "snapshot_tail": 0}) as node:
        snapshots = await snapshots_of(node, await node.battle(), events=35)
        assert len(snapshots) >= 3
        assert {later.seq - earlier.seq for earlier, later in pairwise(snapshots)} == {10}


async def test_a_large_state_is_written_only_after_many_bytes_of_events(autojump_clock):
    async with running(actors={"snapshot_every": 2, "snapshot_tail": 3}) as node:
        battle = await node.battle()
        snapshots = await snapshots_of(node, battle, events=60)
        assert len(snapshots) >= 3
        rows = node.store.actors[battle].rows
        for earlier, later in pairwise(snapshots):
            landed = [len(row.public) for row in rows if earlier.seq <= row.seq < later.seq]
            assert sum(landed) >= 3 * len(earlier.state) > sum(landed[:-1])


async def test_a_long_tail_counts_also_after_a_crash(autojump_clock):
    async with running(actors={"snapshot_every": 2, "snapshot_tail": 1_000}) as node:
        battle = await node.battle()
        before = (await snapshots_of(node, battle, events=12))[-1]
        node.kill()
    async with running(node.store, "node-b", actors={"snapshot_every": 2, "snapshot_tail": 1}) as other:
        await other.show(battle)
        await other.settle()
        assert other.store.actors[battle].snapshot.seq == other.store.actors[battle].last_seq > before.seq


async def test_battles_that_are_played_alike_do_not_write_their_first_snapshots_at_once(autojump_clock):
    async with running(actors={"snapshot_every": 40, "snapshot_tail": 0}) as node:
        battles = [await node.battle(f"battle-{number}") for number in range(8)]
        first = [(await snapshots_of(node, battle, events=40))[0].seq for battle in battles]
        assert all(20 < seq <= 40 for seq in first)
        assert len(set(first)) > 4


async def snapshots_of(node: Node, battle: str, events: int) -> list[Snapshot]:
    """That were written on the way."""
    snapshots: list[Snapshot] = []
    for _ in range(events):
        await node.do(battle).answer()
        await node.settle()
        snapshot = node.store.actors[battle].snapshot
        if snapshot is not None and snapshot not in snapshots:
            snapshots.append(snapshot)
    return snapshots


async def test_a_long_tail_is_folded_into_a_snapshot_by_the_first_read(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        for _ in range(10):
            await node.do(battle).answer()
        node.kill()
    async with running(node.store, "node-b", actors={"snapshot_every": 5}) as other:
        await other.show(battle)
        await other.settle()
        assert other.store.actors[battle].snapshot.seq == other.store.actors[battle].last_seq


@pytest.mark.parametrize("mode", ["nasty", "classic"])
async def test_snapshot_and_tail_give_the_state_of_the_whole_journal_byte_for_byte(autojump_clock, mode):
    """The harness compares them for every actor of every test; here there is surely something to compare."""
    async with running(actors=SOON | {"snapshot_every": 4}) as node:
        battle = await node.battle(mode=mode)
        for number in range(1, 12):
            await trio.sleep(number % 4)
            await node.do(battle, number=number).answer()
            node.check_folds()
        assert node.store.actors[battle].snapshot is not None
        assert isinstance(await node.show(battle), Shown)
