"""Whoever asks another node gets one answer: from there, or in time from here, and then one that may be tried again."""

import pytest
import trio
from msgspec.structs import replace

from gameserver.actors.messages import Message, Show, Wake, ignore
from gameserver.actors.ports import Accepted, Shown
from gameserver.cluster.items import Request, Response
from gameserver.cluster.requests import Requests
from gameserver.errors import Refused
from gameserver.game.commands import JoinGroup
from gameserver.ids import CommandId, IdempotencyKey
from gameserver.turns import TURN_S
from tests.actors.node import Asked, answers, codes
from tests.cluster.cluster_redis import LOST
from tests.cluster.cluster_stage import clustered
from tests.loop_time import longest_slice, takes


def losing(*kinds):
    """Loses all packets with an item of these kinds."""
    return lambda _sender, _to, items: LOST if any(type(item) in kinds for item in items) else 0.0


async def answered_after(asked):
    since = trio.current_time()
    answer = await asked.answer()
    return answer, trio.current_time() - since


@pytest.mark.parametrize("lost", [Request, Response])
async def test_what_is_lost_is_answered_at_the_deadline_and_may_be_tried_again(autojump_clock, lost):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = losing(lost)
        refused, after_s = await answered_after(cluster["node-a"].do(battle, number=1))
        assert (refused.code, refused.retryable) == ("deadline_exceeded", True)
        assert 5 <= after_s < 5.1
        cluster.hub.rule = losing()
        assert isinstance(await cluster["node-a"].do(battle, number=1).answer(), Accepted)
        assert await cluster["node-a"].done(battle) == ["hit"]


async def test_a_node_that_is_seen_to_be_dead_answers_no_more_and_nobody_waits_for_it(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-b"].kill()
        asked = cluster["node-a"].tell(battle, Show(), within_s=60)
        refused, after_s = await answered_after(asked)
        assert refused.code == "owner_unreachable"
        assert after_s < 3


async def test_a_node_that_was_started_again_does_not_answer_for_the_process_before(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-b"].storage.stalled.close()
        asked = cluster["node-a"].do(battle, number=1)
        await cluster.settle()
        await cluster["node-b"].kill()
        await cluster.start("node-b")
        refused, after_s = await answered_after(asked)
        assert refused.code == "owner_unreachable"
        assert after_s < 1
        assert isinstance(await cluster["node-a"].do(battle, number=1).answer(), Accepted)


async def test_when_the_bus_goes_everybody_is_answered_at_once(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-b"].storage.stalled.close()
        asked = [cluster["node-a"].do(battle) for _ in range(5)]
        await cluster.settle()
        cut_at = trio.current_time()
        cluster.hub.cut()
        assert await codes(asked) == ["owner_unreachable"] * 5
        assert trio.current_time() == cut_at
        cluster.hub.heal()
        cluster["node-b"].storage.stalled.open()


async def test_thousands_of_lost_requests_are_answered_in_turns(autojump_clock, monkeypatch):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-b"].storage.stalled.close()
        asked = [cluster["node-a"].do(battle) for _ in range(1_000)]
        await cluster.settle()
        takes(monkeypatch, Asked, "__call__", TURN_S / 10)
        with longest_slice() as measured:
            cluster.hub.cut()
            assert await codes(asked) == ["owner_unreachable"] * 1_000
        assert measured.seconds < 2 * TURN_S
        cluster.hub.heal()
        cluster["node-b"].storage.stalled.open()
        await trio.sleep(1)


async def test_what_a_node_may_have_missed_is_answered_as_soon_as_it_hears_again(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-b"].bus.cut()
        missed = cluster["node-a"].do(battle, number=1)
        await trio.sleep(0.5)
        assert not missed.answered
        cluster["node-b"].bus.heal()
        refused, after_s = await answered_after(missed)
        assert refused.retryable
        assert after_s < 0.1
        assert isinstance(await cluster["node-a"].do(battle, number=1).answer(), Accepted)


async def test_who_asks_while_the_bus_is_away_is_answered_at_once(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-a"].bus.cut()
        assert cluster["node-a"].do(battle).answered
        cluster["node-a"].bus.heal()


async def test_an_answer_that_comes_late_is_ignored(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = lambda _sender, to, _items: 6.0 if to == "node-a" else 0.0
        ann = cluster["node-a"].client("ann")
        number = ann.do(battle)
        assert (await ann.answer(number))["payload"]["code"] == "deadline_exceeded"
        await trio.sleep(8)
        assert len(ann.answers(number)) == 1
        cluster.hub.rule = losing()


async def test_an_answer_to_an_earlier_process_is_not_taken_for_one_to_this(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = lambda _sender, to, items: (
            3.0 if to == "node-a" and losing(Response)("", "", items) is LOST else 0.0
        )
        for _ in range(20):
            cluster["node-a"].do(battle)
        await trio.sleep(1)
        earlier = {item.number for item in cluster.hub.heard_items(Request, sender="node-a", to="node-b")}
        await cluster["node-a"].kill()
        a = await cluster.start("node-a")
        await cluster.met()
        cluster.hub.heard.clear()
        asked = [a.tell(battle, Show()) for _ in range(20)]
        await trio.sleep(4)
        assert all(isinstance(answer, Shown) for answer in await answers(asked))
        assert not earlier & {item.number for item in cluster.hub.heard_items(Request, sender="node-a", to="node-b")}
        cluster.hub.rule = losing()


async def test_beyond_the_limit_of_unanswered_requests_the_node_is_overloaded(autojump_clock):
    async with clustered("node-a", "node-b", cluster={"requests_limit": 10}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-b"].storage.latency_s = 1
        asked = [cluster["node-a"].do(battle) for _ in range(15)]
        refused = [each for each in asked if each.answered]
        assert await codes(refused) == ["overloaded"] * 5
        await answers(asked)
        assert len(cluster["node-a"].cluster.requests) == 0
        cluster["node-b"].storage.latency_s = 0


async def test_what_nobody_waits_for_is_not_kept(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-b"].core.catalog.hand_over(battle, "node-b")
        cluster["node-a"].core.router.send(Message(battle, Wake(), ignore, trio.current_time() + 5))
        assert len(cluster["node-a"].cluster.requests) == 0
        await cluster.settle()
        assert cluster.holders(battle) == ["node-b"]
        assert not [item for item in cluster.hub.heard_items(Response) if item.number == 0]


async def test_nodes_whose_clocks_differ_by_seconds_agree_on_when_a_request_expires(autojump_clock):
    async with clustered() as cluster:
        for name, skew_ms in (("node-a", -5_000), ("node-b", 5_000)):
            await cluster.start(name, skew_ms=skew_ms)
        await cluster.met()
        for on, via in (("node-b", "node-a"), ("node-a", "node-b")):
            battle = await cluster.battle(cluster.id_on(on), via=via)
            assert isinstance(await cluster[via].do(battle).answer(), Accepted)
            with cluster[on].journal.holding():
                cluster[on].do(battle)
                await cluster.settle()
                refused, after_s = await answered_after(cluster[via].tell(battle, Show(), within_s=2))
            assert refused.code == "deadline_exceeded"
            assert 2 <= after_s < 2.1


async def test_a_machine_whose_clock_is_set_plays_on_as_if_nothing_had_been(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        for jump_ms in (6_000, -60_000):
            cluster["node-b"].wall.wrong_by_ms += jump_ms
            assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
            await trio.sleep(2.6)
            assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)


async def test_a_request_that_expired_on_its_way_is_not_run(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = lambda _sender, to, items: 7.0 if to == "node-b" else 0.0
        assert await cluster["node-a"].do(battle).code() == "deadline_exceeded"
        await trio.sleep(10)
        cluster.hub.rule = losing()
        assert await cluster["node-b"].done(battle) == []


async def test_a_failed_node_between_asker_and_owner_costs_a_retry_at_most(autojump_clock):
    async with clustered("node-a", "node-b", "node-c") as cluster:
        battle = await cluster.battle(cluster.id_on("node-c"))
        cluster["node-a"].cluster.owners.learn(battle, "node-b")
        await cluster["node-b"].kill(lease_ends=True)
        asked = cluster["node-a"].do(battle, number=1)
        assert isinstance(await asked.answer(), Refused)
        assert isinstance(await cluster["node-a"].do(battle, number=1).answer(), Accepted)
        assert await cluster["node-a"].done(battle) == ["hit"]


async def test_a_refusal_keeps_its_time_and_its_words_on_the_way(autojump_clock):
    async with clustered("node-a", "node-b", guards={"minimum_duration_ms": 60_000}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        refusals = []
        for name in ("node-a", "node-b"):
            payload = (await cluster[name].client("ann", instance=7).ask("battle:finish", battle))["payload"]
            payload.pop("retryAfterMs")
            refusals.append(payload)
        assert refusals[0] == refusals[1]
        assert refusals[0]["code"] == "finish_too_early"


async def test_what_was_said_while_a_lost_round_was_under_way_is_answered_at_once(autojump_clock):
    """The bus goes and comes back while a publish still hangs: when that fails, what gathered behind it is dropped."""
    async with clustered("node-a", "node-b") as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        a.bus.hang_next()
        first = a.do(battle, number=1)
        await cluster.settle()
        a.bus.cut()
        a.bus.heal()
        assert await first.code() == "owner_unreachable"
        second = a.do(battle, number=1)
        await cluster.settle()
        a.bus.fail_hanging()
        answer, after_s = await answered_after(second)
        assert after_s < 1, answer


async def test_who_keeps_sending_does_not_keep_asking_a_node_that_does_not_answer(autojump_clock):
    """It beats, but hears nothing; what it owned has gone to another one."""
    async with clustered("node-a", "node-b", "node-c") as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-c"))
        cluster["node-b"].bus.cut()
        a.cluster.owners.learn(battle, "node-b")
        asked = []
        for _ in range(20):
            asked.append(a.tell(battle, Show()))
            await trio.sleep(0.5)
        assert await asked[0].code() == "deadline_exceeded"
        assert isinstance(await asked[-1].answer(), Shown)
        cluster["node-b"].bus.heal()


async def test_what_a_client_sends_goes_the_same_way_until_it_is_answered_but_not_for_long(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        a = cluster["node-a"]
        battle = await cluster.battle(cluster.id_on("node-b"))
        with cluster["node-b"].journal.holding() as held:
            a.do(battle, number=1)
            await held.arrived.wait()
            message = a.do(battle, number=2).message
            assert a.cluster.requests.asking(message) == "node-b"
            assert a.cluster.requests.asking(replace(message, identity=CommandId("bob", 1, 3))) is None
            await trio.sleep(1.1)
            assert a.cluster.requests.asking(message) is None
        await trio.sleep(1)
        assert a.cluster.requests.asking(message) is None
        assert not a.cluster.requests.ways


async def test_who_waits_for_no_answer_sleeps(autojump_clock, monkeypatch):
    looks, look_over = [], Requests._look_over
    monkeypatch.setattr(Requests, "_look_over", lambda requests: looks.append(requests) or look_over(requests))
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        for _ in range(20):
            await cluster["node-a"].do(battle).answer()
        await trio.sleep(10)
        looks.clear()
        await trio.sleep(60)
        assert not looks


async def test_a_client_that_numbers_its_commands_is_answered_by_a_number_and_a_caller_with_a_key_by_the_event(
    autojump_clock,
):
    async with clustered("node-a", "node-b") as cluster:
        a, battle = cluster["node-a"], await cluster.battle(cluster.id_on("node-b"))
        await a.core.catalog.hand_over("wolves", "nobody")
        await cluster["node-b"].ask("wolves", Show("group"))
        a.cluster.owners.learn("wolves", "node-b")
        assert await a.do(battle).answer() == Accepted(cluster.last_seq(battle))
        joined = await a.ask("wolves", JoinGroup("eve"), IdempotencyKey("eve", "a key", "hash"))
        assert b'"eve"' in joined.event
        assert [item.said for item in cluster.hub.heard_items(Response, sender="node-b")][-1] == joined
