"""A client that does not keep up gets answers, and later what it has missed: each event once and in order, or the state
and what follows it. For as long as it is slow, nothing is kept for it."""

import random

import pytest
import trio

from gameserver.actors.ports import Shown
from gameserver.errors import Refused
from gameserver.protocol.close_codes import CloseCode
from tests.cluster.cluster_stage import clustered
from tests.cluster.remote_watching import hits, sees_all
from tests.cluster.stage import Client, Stage, staged

B = "018f0000-0000-7000-8000-000000000001"
FORGETFUL = {"recent_limit": 2, "collapse_events": 4}


async def watching(stage: Stage, name: str = "eve") -> Client:
    client = stage.client(name)
    await stage.answer(client, client.say("battle:watch", B))
    return client


async def play(stage: Stage, times: int) -> None:
    for _ in range(times):
        await stage.node.do(B).answer()
    await stage.settle()


def last_seq(stage: Stage) -> int:
    return stage.node.store.actors[B].last_seq


def sees_all_of_it(stage: Stage, client: Client) -> bool:
    client.check()
    return client.positions.get(B, last_seq(stage)) == last_seq(stage)


def come_back(stage: Stage, client: Client) -> Client:
    client.check()
    assert client.connection.closed_with == [CloseCode.MISSED_EVENTS]
    client.session.on_close()
    stage.clients.remove(client)
    again = stage.client(client.session.identified.player_id)
    again.say("battle:watch", B, after=client.positions.get(B, 3))
    return again


def states(client: Client) -> list[int]:
    return [message["seq"] for message in client.received if message["event"] == "battle:state"]


async def test_who_does_not_keep_up_gets_answers_but_no_events_until_it_has_drained(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve, joe = await watching(stage), await watching(stage, "joe")
        first = last_seq(stage) + 1
        eve.congest()
        await play(stage, 5)
        number = eve.say("ping")
        assert (await stage.answer(eve, number))["event"] == "reply"
        assert (eve.seqs(B), joe.seqs(B)) == ([], list(range(first, first + 5)))
        eve.drain()
        await stage.settle()
        assert eve.seqs(B) == list(range(first, first + 5))
        await play(stage, 1)
        assert sees_all_of_it(stage, eve)
        assert stage.resumes.reads == 0


async def test_all_battles_of_a_slow_client_wait_and_nothing_is_kept_for_it(autojump_clock):
    async with staged() as stage:
        battles = [await stage.node.battle(B[:-1] + str(number)) for number in range(3)]
        eve = stage.client("eve")
        for battle in battles:
            await stage.answer(eve, eve.say("battle:watch", battle))
        eve.congest()
        for battle in battles:
            for _ in range(3):
                await stage.node.do(battle).answer()
        await stage.settle()
        sent = len(eve.connection.sends)
        eve.session.flush()
        assert len(eve.connection.sends) == sent
        eve.drain()
        await stage.settle()
        eve.check()
        assert all(eve.positions[battle] == stage.node.store.actors[battle].last_seq for battle in battles)
        assert not states(eve)


async def test_who_was_slow_for_so_long_that_memory_does_not_have_it_gets_it_from_the_journal(autojump_clock):
    async with staged(websocket=FORGETFUL) as stage:
        await stage.node.battle(B)
        eve = await watching(stage)
        eve.congest()
        await play(stage, 4)
        eve.drain()
        await stage.settle()
        assert sees_all_of_it(stage, eve)
        assert (stage.resumes.reads, states(eve)) == (1, [])


async def test_who_has_missed_too_much_gets_the_state_and_then_what_follows_it(autojump_clock):
    async with staged(websocket=FORGETFUL) as stage:
        await stage.node.battle(B)
        eve = await watching(stage)
        eve.congest()
        await play(stage, 5)
        eve.drain()
        await stage.settle()
        (pushed,) = [message for message in eve.received if message["event"] == "battle:state"]
        assert pushed["seq"] == last_seq(stage)
        assert pushed["payload"]["battleId"] == B
        assert len(pushed["payload"]["state"]["play"]["done"]) == 5
        await play(stage, 3)
        assert sees_all_of_it(stage, eve)
        assert stage.resumes.reads == 0


async def test_what_happens_while_the_state_is_on_its_way_comes_behind_it(autojump_clock):
    async with staged(websocket=FORGETFUL) as stage:
        await stage.node.battle(B)
        eve = await watching(stage)
        eve.congest()
        await play(stage, 5)
        with stage.node.journal.holding() as held:
            stage.node.do(B)
            await held.arrived.wait()
            eve.drain()
            await trio.sleep(0.1)
            stage.node.do(B)
            await trio.sleep(0.1)
            assert eve.seqs(B) == []
        await stage.settle()
        assert sees_all_of_it(stage, eve)
        assert len(states(eve)) == 1


async def test_many_who_have_missed_too_much_of_one_battle_cost_one_look_at_it(autojump_clock):
    async with staged(websocket=FORGETFUL) as stage:
        await stage.node.battle(B)
        crowd = [await watching(stage, f"fan {number}") for number in range(20)]
        for client in crowd:
            client.congest()
        await play(stage, 6)
        send, looks = stage.resumes._send, []

        def counted(message):
            looks.append(message)
            send(message)

        stage.resumes._send = counted
        for client in crowd:
            client.drain()
        await stage.settle()
        assert len(looks) == 1
        assert all(sees_all_of_it(stage, client) and states(client) for client in crowd)


@pytest.mark.parametrize(
    "answer", [Refused("rules_failed"), Shown(1, {"state": "running"}), Shown(99, {"state": "running", "play": 1j})]
)
async def test_who_has_missed_too_much_of_a_battle_whose_state_cannot_be_had_is_told_to_come_back(
    autojump_clock, answer
):
    async with staged(websocket=FORGETFUL) as stage:
        await stage.node.battle(B)
        eve = await watching(stage)
        eve.congest()
        await play(stage, 6)
        stage.resumes._send = lambda message: message.reply(answer)
        eve.drain()
        await stage.settle()
        assert eve.connection.closed_with == [CloseCode.MISSED_EVENTS]
        assert eve.seqs(B) == []


async def test_who_is_slow_again_while_it_is_filled_in_misses_nothing(autojump_clock):
    async with staged(websocket=FORGETFUL) as stage:
        await stage.node.battle(B)
        eve = await watching(stage)
        stage.node.journal.latency_s = 0.5
        eve.congest()
        await play(stage, 3)
        eve.drain()
        await trio.sleep(0.1)
        eve.congest()
        await trio.sleep(2)
        assert eve.seqs(B) == []
        eve.drain()
        await trio.sleep(2)
        assert sees_all_of_it(stage, eve)
        assert not states(eve)


async def test_what_a_slow_client_asks_is_answered_and_the_events_follow_when_it_has_drained(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        await play(stage, 3)
        eve, joe = stage.client("eve"), stage.client("joe")
        for client in (eve, joe):
            client.congest()
        watched = await stage.answer(eve, eve.say("battle:watch", B))
        resumed = await stage.answer(joe, joe.say("battle:watch", B, after=1))
        assert "state" in watched["payload"]
        assert resumed["payload"]["recovered"]
        await play(stage, 2)
        assert (eve.seqs(B), joe.seqs(B)) == ([], [])
        for client in (eve, joe):
            client.drain()
        await stage.settle()
        assert sees_all_of_it(stage, eve)
        assert joe.seqs(B) == list(range(2, last_seq(stage) + 1))


async def test_a_slow_client_that_starts_again_from_a_state_gets_nothing_that_lies_before_it(autojump_clock):
    async with staged(journal={"history_limit": 3}) as stage:
        await stage.node.battle(B)
        await play(stage, 5)
        eve = stage.client("eve")
        eve.congest()
        answer = await stage.answer(eve, eve.say("battle:watch", B, after=1))
        assert answer["payload"]["recovered"] is False
        await play(stage, 2)
        eve.drain()
        await stage.settle()
        assert sees_all_of_it(stage, eve)
        assert len(eve.seqs(B)) == 2


async def test_who_joins_while_it_is_slow_gets_its_events_when_it_has_drained(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        eve.congest()
        assert (await stage.answer(eve, eve.say("battle:join", B)))["event"] == "reply"
        await play(stage, 2)
        eve.drain()
        await stage.settle()
        assert [message["event"] for message in eve.received if "seq" in message] == [
            "battle:join",
            "battle:do",
            "battle:do",
        ]


async def test_a_slow_client_on_another_node_gets_the_state_from_the_owner(autojump_clock):
    async with clustered("node-a", "node-b", websocket=dict(FORGETFUL)) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve, joe = await cluster["node-a"].watcher(battle, "eve"), await cluster["node-a"].watcher(battle, "joe")
        eve.congest()
        for _ in range(6):
            await hits(cluster, battle)
        await sees_all(cluster, battle, joe)
        assert eve.seqs(battle) == []
        eve.drain()
        await sees_all(cluster, battle, eve)
        await hits(cluster, battle)
        await sees_all(cluster, battle, eve, joe)
        assert (len(states(eve)), len(states(joe))) == (1, 0)


@pytest.mark.parametrize("seed", range(25))
async def test_however_slow_clients_are_nobody_sees_a_gap_or_a_double(autojump_clock, seed):
    """Hits, watches, resumes and lost commits, while clients fall behind and catch up, at random moments."""
    dice = random.Random(seed)
    actors, journal = {"idle_ms": 300, "sweep_interval_ms": 100}, {"history_limit": 3}
    async with staged(websocket=FORGETFUL, actors=actors, journal=journal) as stage:
        node = stage.node
        await node.battle(B)
        node.journal.latency_s = 0.02
        clients = [await watching(stage, f"eve-{number}") for number in range(4)]
        for _ in range(150):
            client = dice.choice(clients)
            if client.connection.closed_with:  # the state could not be had: it comes back
                clients[clients.index(client)] = client = come_back(stage, client)
            match dice.randrange(12):
                case 0:
                    client.say("battle:watch", B)
                case 1:
                    client.check()
                    client.say("battle:watch", B, after=max(0, client.positions.get(B, 3) - dice.randrange(6)))
                case 2:
                    node.journal.lose_next(lands=dice.random() < 0.5)
                case 3:
                    node.do(B, "refuse")
                case 4 | 5 if not client.session.congested:
                    client.congest()
                case 4 | 5 | 6 if client.session.congested:
                    client.drain()
                case _:
                    node.do(B)
            await trio.sleep(dice.choice([0, 0, 0.01, 0.03]))
        node.journal._next.clear()
        for client in clients:
            client.drain()
        await trio.sleep(20)
        await node.show(B)
        clients = [come_back(stage, client) if client.connection.closed_with else client for client in clients]
        await trio.sleep(1)
        assert all(sees_all_of_it(stage, client) for client in clients)
        assert not any(client.connection.closed_with for client in clients)
