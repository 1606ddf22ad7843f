"""Every watcher sees a battle's events in order, without gap or double, or is told to start again."""

import random

import pytest
import trio

from gameserver.actors.ports import Accepted
from gameserver.errors import StorageUnavailable
from tests.cluster.stage import staged

B = "018f0000-0000-7000-8000-000000000001"


async def test_a_watch_begins_with_the_state_and_goes_on_with_the_next_event(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        answer = await stage.answer(eve, eve.say("battle:watch", B))
        assert answer["payload"]["state"]["state"] == "running"
        await stage.node.do(B).answer()
        await stage.settle()
        eve.check()
        assert eve.positions[B] == answer["payload"]["seq"] + 1


async def test_a_watch_while_a_commit_is_on_its_way_neither_misses_nor_doubles(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        with stage.node.journal.holding() as held:
            stage.node.do(B)
            await held.arrived.wait()
            eve.say("battle:watch", B)
            stage.node.do(B)
            eve.say("battle:watch", B)
            stage.node.do(B)
            await trio.sleep(1)
            assert len(eve.received) == 2
        await stage.settle()
        eve.check()
        assert eve.positions[B] == stage.node.store.actors[B].last_seq


async def test_a_resume_gets_exactly_what_was_missed(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        first = await stage.answer(eve, eve.say("battle:watch", B))
        eve.session.on_close()
        for _ in range(5):
            await stage.node.do(B).answer()
        stage.clients.remove(eve)
        again = stage.client("eve", instance=2)
        stage.node.journal.latency_s = 0.5
        number = again.say("battle:watch", B, after=first["payload"]["seq"])
        await trio.sleep(0.2)
        hits = [stage.node.do(B) for _ in range(3)]
        await trio.sleep(3)
        assert all(hit.answered for hit in hits)
        assert again.answers(number)[0]["payload"]["recovered"] is True
        again.check()
        assert again.positions[B] == stage.node.store.actors[B].last_seq
        assert len([message for message in again.received if message["event"] == "battle:do"]) == 8


async def test_a_resume_from_the_last_event_needs_no_journal(autojump_clock, monkeypatch):
    async with staged() as stage:
        await stage.node.battle(B)
        monkeypatch.setattr(type(stage.node.journal), "read", None)
        eve = stage.client("eve")
        seq = stage.node.store.actors[B].last_seq
        answer = await stage.answer(eve, eve.say("battle:watch", B, after=seq))
        assert answer["payload"] == {"seq": seq, "recovered": True}


async def test_who_missed_too_much_starts_again_from_the_state(autojump_clock):
    async with staged(journal={"history_limit": 3}) as stage:
        await stage.node.battle(B)
        for _ in range(5):
            await stage.node.do(B).answer()
        eve = stage.client("eve")
        answer = await stage.answer(eve, eve.say("battle:watch", B, after=1))
        assert answer["payload"]["recovered"] is False
        assert "state" in answer["payload"]
        await stage.node.do(B).answer()
        await stage.settle()


async def test_who_missed_more_than_may_wait_for_a_client_starts_again_from_the_state(autojump_clock):
    async with staged(websocket={"outgoing_limit_bytes": 800}) as stage:
        await stage.node.battle(B)
        for _ in range(5):
            await stage.node.do(B).answer()
        eve = stage.client("eve")
        seq = stage.node.store.actors[B].last_seq
        assert (await stage.answer(eve, eve.say("battle:watch", B, after=seq - 2)))["payload"]["recovered"] is True
        assert (await stage.answer(eve, eve.say("battle:watch", B, after=1)))["payload"]["recovered"] is False
        await stage.node.do(B).answer()
        await stage.settle()
        eve.check()
        assert eve.positions[B] == seq + 1


async def test_who_claims_to_know_the_future_starts_again_from_the_state(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        answer = await stage.answer(eve, eve.say("battle:watch", B, after=10_000))
        assert "state" in answer["payload"]


async def test_a_second_resume_takes_the_place_of_the_first(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        stage.node.journal.latency_s = 0.5
        eve.say("battle:watch", B, after=1)
        await trio.sleep(0.1)
        eve.say("battle:watch", B, after=2)
        await trio.sleep(0.1)
        hit = stage.node.do(B)
        await trio.sleep(3)
        assert hit.answered
        events = [message["seq"] for message in eve.received if message.get("seq")]
        assert events == list(range(3, stage.node.store.actors[B].last_seq + 1))
        assert eve.answers(1)[0]["payload"]["code"] == "watch_replaced"


async def test_a_resume_that_the_journal_cannot_serve_ends_the_watch_and_says_so(autojump_clock, monkeypatch):
    async with staged() as stage:
        await stage.node.battle(B)

        async def away(*_):
            raise StorageUnavailable("away")

        eve = stage.client("eve")
        with monkeypatch.context() as patch:
            patch.setattr(type(stage.node.journal), "read", away)
            assert await stage.code(eve, eve.say("battle:watch", B, after=1)) == "storage_unavailable"
        await stage.node.do(B).answer()
        await stage.settle()
        assert eve.received[-1]["event"] == "error"
        await stage.answer(eve, eve.say("battle:watch", B, after=1))
        eve.check()
        assert eve.positions[B] == stage.node.store.actors[B].last_seq


async def test_too_many_resumes_at_once_are_refused(autojump_clock):
    async with staged(websocket={"resumes_limit": 1, "resuming_limit": 1}) as stage:
        await stage.node.battle(B)
        stage.node.journal.latency_s = 1
        eves = [stage.client(f"eve-{number}") for number in range(3)]
        for eve in eves:
            eve.say("battle:watch", B, after=1)
        await trio.sleep(5)
        codes = [eve.answers(1)[0]["payload"].get("code") for eve in eves]
        assert sorted(map(str, codes)) == ["None", "overloaded", "overloaded"]


async def test_what_comes_while_a_resume_is_read_is_not_kept_but_looked_up_again(autojump_clock):
    async with staged(websocket={"recent_limit": 2}) as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        release = trio.Event()
        read = stage.node.journal.read

        async def slow(*asked):
            await release.wait()
            return await read(*asked)

        stage.resumes._journal = type("Slow", (), {"read": staticmethod(slow)})()
        eve.say("battle:watch", B, after=1)
        for _ in range(4):
            await stage.node.do(B).answer()
        assert eve.seqs(B) == []
        release.set()
        await stage.settle()
        assert eve.seqs(B) == list(range(2, stage.node.store.actors[B].last_seq + 1))
        assert stage.resumes.reads == 2


async def test_joining_subscribes_all_connections_of_the_player(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        one, two = stage.client("eve"), stage.client("eve", instance=2)
        number = one.say("battle:join", B)
        assert (await stage.answer(one, number))["event"] == "reply"
        await stage.node.do(B).answer()
        await stage.settle()
        for client in (one, two):
            client.check()
            assert [m["event"] for m in client.received[2:] if "seq" in m] == ["battle:join", "battle:do"]
        assert one.received.index(one.answers(number)[0]) < [m["event"] for m in one.received].index("battle:join")


async def test_a_spectator_who_joins_goes_on_seeing_everything(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve, again = stage.client("eve"), stage.client("eve", instance=2)
        for client in (eve, again):
            await stage.answer(client, client.say("battle:watch", B))
        with stage.node.journal.holding() as held:
            stage.node.do(B)
            await held.arrived.wait()
            stage.node.do(B)
            eve.say("battle:join", B)
            await trio.sleep(1)
            stage.node.do(B)
            await trio.sleep(1)
        await stage.settle()
        for client in (eve, again):
            client.check()
            seen = [message["event"] for message in client.received if "seq" in message]
            assert seen == ["battle:do", "battle:do", "battle:join", "battle:do"]


async def test_what_landed_unbeknown_to_us_is_read_from_the_journal(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        await stage.answer(eve, eve.say("battle:watch", B))
        stage.node.journal.lose_next(lands=True)
        assert await stage.node.do(B, number=50).code() == "outcome_unknown"
        assert isinstance(await stage.node.do(B, number=50).answer(), Accepted)
        await stage.settle()
        eve.check()
        assert eve.positions[B] == stage.node.store.actors[B].last_seq
        await stage.node.do(B).answer()
        await stage.settle()
        eve.check()
        assert eve.positions[B] == stage.node.store.actors[B].last_seq


async def test_what_landed_unbeknown_to_us_and_cannot_be_read_gives_its_watchers_the_state(autojump_clock, monkeypatch):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        await stage.answer(eve, eve.say("battle:watch", B))
        stage.node.journal.lose_next(lands=True)
        await stage.node.do(B, number=50).answer()

        async def gone(*_):
            return None

        monkeypatch.setattr(type(stage.node.journal), "read", gone)
        await stage.node.do(B, number=50).answer()
        await stage.settle()
        assert [message["event"] for message in eve.received[3:]] == ["battle:state"]
        await stage.node.do(B).answer()
        await stage.settle()
        eve.check()
        assert eve.positions[B] == stage.node.store.actors[B].last_seq


async def test_a_join_that_landed_unbeknown_to_us_subscribes_with_its_retry(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        stage.node.journal.lose_next(lands=True)
        number = eve.say("battle:join", B)
        assert await stage.code(eve, number) == "outcome_unknown"
        eve.numbers -= 1
        eve.say("battle:join", B)
        await stage.settle()
        assert eve.answers(number)[1]["event"] == "reply"
        await stage.node.do(B).answer()
        await stage.settle()
        eve.check()
        assert [m["event"] for m in eve.received if "seq" in m] == ["battle:join", "battle:do"]


async def test_one_connection_watches_only_so_many_battles_that_are_not_over(autojump_clock):
    async with staged(websocket={"watches_limit": 2}) as stage:
        battles = [await stage.node.battle(B[:-1] + str(number)) for number in range(3)]
        eve = stage.client("eve")
        for battle in battles[:2]:
            await stage.answer(eve, eve.say("battle:watch", battle))
        assert await stage.code(eve, eve.say("battle:watch", battles[2])) == "too_many_watches"
        await stage.node.do(battles[0], "win").answer()
        assert "state" in (await stage.answer(eve, eve.say("battle:watch", battles[2])))["payload"]
        assert set(eve.session.watching) == {battles[1], battles[2]}


async def test_a_finished_battle_that_is_looked_at_takes_up_no_place(autojump_clock):
    async with staged(websocket={"watches_limit": 1}) as stage:
        battles = [await stage.node.battle(B[:-1] + str(number)) for number in range(2)]
        await stage.node.do(battles[0], "win").answer()
        eve = stage.client("eve")
        for battle in battles:
            assert "state" in (await stage.answer(eve, eve.say("battle:watch", battle)))["payload"]


async def test_what_one_commit_brings_leaves_as_one_write_per_connection(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        await stage.answer(eve, eve.say("battle:watch", B))
        sends = len(eve.connection.sends)
        with stage.node.journal.holding() as held:
            stage.node.do(B)
            await held.arrived.wait()
            for _ in range(5):
                stage.node.do(B)
            await trio.sleep(0.1)
        await stage.settle()
        assert [len(send) for send in eve.connection.sends[sends:]] == [1, 5]


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_happens_nobody_sees_a_gap_or_a_double(autojump_clock, seed):
    """Hits, watches, resumes, lost commits, crashes and passivations, at random moments."""
    dice = random.Random(seed)
    async with staged(actors={"idle_ms": 300, "sweep_interval_ms": 100, "snapshot_every": 7}) as stage:
        node = stage.node
        await node.battle(B)
        node.journal.latency_s = 0.02
        clients = [stage.client(f"eve-{number}") for number in range(4)]
        for _ in range(120):
            client = dice.choice(clients)
            match dice.randrange(13):
                case 0 | 1:
                    client.say("battle:watch", B)
                case 2 | 3:
                    client.check()
                    client.say("battle:watch", B, after=max(0, client.positions.get(B, 3) - dice.randrange(3)))
                case 4:
                    node.journal.lose_next(lands=dice.random() < 0.5)
                case 5:
                    node.do(B, "raise in apply" if dice.random() < 0.2 else "refuse")
                case 7:
                    client.say("battle:join", B)
                case 6:
                    await trio.sleep(dice.choice([0.5, 0.9]))
                case _:
                    node.do(B)
            await trio.sleep(dice.choice([0, 0, 0.01, 0.03]))
        node.journal._next.clear()
        await trio.sleep(20)
        await node.show(B)
        await trio.sleep(1)
        for client in clients:
            client.check()
            assert not client.connection.closed_with
            assert client.positions.get(B, node.store.actors[B].last_seq) == node.store.actors[B].last_seq


async def test_many_who_resume_one_battle_are_served_from_one_read(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        for _ in range(3):
            await stage.node.do(B).answer()
        read, asked = stage.node.journal.read, []

        async def counted(*range_):
            asked.append(range_)
            return await read(*range_)

        stage.resumes._journal = type("Counted", (), {"read": staticmethod(counted)})()
        eves = [stage.client(f"eve-{number}") for number in range(20)]
        for after, eve in enumerate(eves):
            eve.say("battle:watch", B, after=after % 4 + 1)
        await stage.settle()
        assert len(asked) == 1
        for after, eve in enumerate(eves):
            assert eve.seqs(B)[0] == after % 4 + 2
