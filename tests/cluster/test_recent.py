"""Who comes back gets what was missed from memory, if anybody here has watched meanwhile; else one asks for all."""

import random
from collections.abc import Sequence

import pytest
import trio

from gameserver.cluster.recent import Recent
from tests.cluster.cluster_stage import clustered
from tests.cluster.stage import Client, Stage, staged

B = "018f0000-0000-7000-8000-000000000001"
CROWD = 30
MANY = 1_000_000


def lines(*seqs: int) -> list[bytes]:
    return [str(seq).encode() for seq in seqs]


# -- the tail of one battle -------------------------------------------------------------------------------------------


def test_what_follows_is_kept_and_what_is_known_does_not_count_again():
    recent = Recent(10, MANY)
    recent.note(B, 4, lines(4, 5))
    recent.note(B, 5, lines(5, 6))
    recent.note(B, 4, lines(4))
    assert recent.between(B, 3, 6) == lines(4, 5, 6)
    assert recent.between(B, 4, 5) == lines(5)
    assert recent.between(B, 2, 6) is None
    assert recent.between(B, 3, 7) is None
    assert recent.between("another", 3, 6) is None


def test_behind_a_hole_it_begins_anew():
    recent = Recent(10, MANY)
    recent.note(B, 4, lines(4, 5))
    recent.note(B, 7, lines(7))
    assert recent.between(B, 4, 5) is None
    assert recent.between(B, 6, 7) == lines(7)


def test_what_was_read_stands_before_what_has_come_since_unless_there_is_a_hole_between():
    recent = Recent(10, MANY)
    recent.note(B, 7, lines(7, 8))
    recent.note_earlier(B, 4, lines(4, 5, 6))
    assert recent.between(B, 3, 8) == lines(4, 5, 6, 7, 8)
    recent.note_earlier(B, 1, lines(1))
    assert recent.between(B, 3, 8) == lines(4, 5, 6, 7, 8)
    assert recent.between(B, 0, 1) is None


def test_of_each_battle_only_the_last_events_are_kept():
    recent = Recent(3, MANY)
    recent.note(B, 1, lines(1, 2))
    recent.note(B, 3, lines(3, 4))
    assert recent.between(B, 1, 4) == lines(2, 3, 4)
    assert recent.between(B, 0, 4) is None
    recent.note(B, 5, lines(5))
    assert recent.between(B, 2, 5) == lines(3, 4, 5)
    assert recent.between(B, 1, 5) is None
    assert recent.octets == 3


def test_beyond_the_bound_the_battle_is_forgotten_in_which_nothing_has_happened_for_longest():
    recent = Recent(10, 8)
    recent.note(B, 1, lines(1, 2, 3))
    recent.note("another", 1, lines(1, 2, 3))
    recent.note(B, 4, lines(4))
    recent.note("a third", 1, lines(1, 2))
    assert recent.between("another", 0, 3) is None
    assert recent.between(B, 0, 4) == lines(1, 2, 3, 4)
    assert recent.octets == 6
    recent.forget(B)
    assert recent.octets == 2


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_whatever_order_it_never_says_what_is_not_so(seed: int):
    dice, recent = random.Random(seed), Recent(12, MANY)
    for _ in range(300):
        first = dice.randrange(1, 60)
        note = dice.choice((recent.note, recent.note, recent.note_earlier))
        note(B, first, lines(*range(first, first + dice.randrange(1, 20))))
        after = dice.randrange(60)
        up_to = after + dice.randrange(1, 20)
        found = recent.between(B, after, up_to)
        assert found is None or found == lines(*range(after + 1, up_to + 1))


# -- resumes ----------------------------------------------------------------------------------------------------------


async def watching(stage: Stage, names: Sequence[str], **after: int) -> list[Client]:
    clients = [stage.client(name) for name in names]
    for client in clients:
        client.say("battle:watch", B, **after)
    await stage.settle()
    for client in clients:
        client.check()
    return clients


def leave(stage: Stage, clients: Sequence[Client]) -> None:
    for client in clients:
        client.session.on_close()
        stage.clients.remove(client)


async def test_who_comes_back_to_a_battle_that_others_watch_costs_no_read(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve, *_ = await watching(stage, ["eve", "ada"])
        seen = eve.positions[B]
        leave(stage, [eve])
        for _ in range(5):
            await stage.node.do(B).answer()
        (again,) = await watching(stage, ["eve"], after=seen)
        assert again.positions[B] == stage.node.store.actors[B].last_seq == seen + 5
        assert stage.resumes.reads == 0


async def test_a_crowd_that_was_cut_off_all_at_once_comes_back_without_a_read(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        names = [f"player {number}" for number in range(CROWD)]
        crowd = await watching(stage, names)
        seen = crowd[0].positions[B]
        leave(stage, crowd)
        for _ in range(5):
            await stage.node.do(B).answer()
        for name in names:
            await watching(stage, [name], after=seen)
            await stage.node.do(B).answer()
            await trio.sleep(0.1)
        await stage.settle()
        for client in stage.clients:
            client.check()
        assert {client.positions[B] for client in stage.clients} == {seen + 5 + CROWD}
        assert stage.resumes.reads == 0


async def test_a_battle_that_nobody_comes_back_to_is_not_followed_for_long(autojump_clock):
    async with staged(websocket={"follow_ms": 2_000}) as stage:
        await stage.node.battle(B)
        crowd = await watching(stage, ["eve", "ada"])
        leave(stage, crowd)
        await stage.node.do(B).answer()
        await trio.sleep(1.9)
        stage.watches.let_go()
        assert stage.watches.battles() == [B]
        await trio.sleep(0.2)
        stage.watches.let_go()
        assert stage.watches.battles() == []
        assert len(stage.watches.recent) == 0


async def test_beyond_the_limit_the_battle_that_was_left_first_is_let_go(autojump_clock):
    async with staged(websocket={"followed_limit": 2}) as stage:
        others = [B[:-1] + last for last in "234"]
        for battle in (B, *others):
            await stage.node.battle(battle)
        (eve,) = await watching(stage, ["eve"])
        for battle in others:
            eve.say("battle:watch", battle)
            await stage.settle()
        leave(stage, [eve])
        assert stage.watches.battles() == others[1:]
        assert len(stage.watches.recent) == 2


async def test_whom_another_node_was_cut_off_from_comes_back_without_a_read(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        watchers = [await cluster["node-a"].watcher(battle, f"player {number}") for number in range(CROWD)]
        seen = watchers[0].has_seen(battle) or cluster.last_seq(battle)
        for watcher in watchers:
            watcher.hang_up()
        for _ in range(5):
            await cluster["node-b"].do(battle).answer()
            await trio.sleep(1)
        for number in range(CROWD):
            again = cluster["node-a"].client(f"player {number}")
            answer = await again.ask("battle:watch", battle, after=seen)
            assert answer["payload"]["recovered"]
            await cluster.eventually(lambda again=again: again.has_seen(battle) == seen + 5, within_s=1)
        assert cluster["node-a"].core.resumes.reads == 0
