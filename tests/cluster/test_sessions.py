"""What a client says: each wrong thing gets its own code, and changes nothing."""

import json

import pytest
import trio

from gameserver.actors.messages import Birth
from gameserver.game.commands import CreateGroup
from gameserver.protocol.close_codes import CloseCode
from tests.cluster.stage import staged

B = "018f0000-0000-7000-8000-000000000001"


def text(event="battle:do", number=1, **payload):
    return json.dumps({"event": event, "id": number, "payload": payload}).encode()


BEFORE_THE_BATTLE = {
    b"": "not_json",
    b"{": "not_json",
    b'"battle:do"': "invalid_message",
    b"[]": "invalid_message",
    b'{"event":"ping"}': "invalid_message",
    b'{"event":"ping","id":"1"}': "invalid_message",
    b'{"event":"ping","id":1.0}': "invalid_message",
    b'{"event":"ping","id":true}': "invalid_message",
    b'{"event":"ping","id":-1}': "invalid_message",
    b'{"event":"ping","id":9007199254740993}': "invalid_message",
    b'{"event":"ping","id":1,"more":1}': "invalid_message",
    b'{"event":7,"id":1}': "invalid_message",
    b'{"event":"pi\\u0000ng","id":1}': "nul_in_text",
    b'{"event":"pi\0ng","id":1}': "nul_in_text",
    b'{"event":"pi\xffng","id":1}': "not_json",
    b'{"event":"battle:do","id":1,"payload":' + b"[" * 20_000 + b"]" * 20_000 + b"}": "invalid_message",
    b'{"event":"pong","id":1}': "unknown_event",
    text(): "invalid_message",
    text(battleId=7): "invalid_message",
    text(battleId="battle"): "not_uuid",
    text(battleId=B.upper()): "not_uuid",
    b'{"event":"battle:do","id":1,"payload":[]}': "invalid_message",
    b'{"event":"battle:do","id":1,"payload":{"battleId":"\xff"}}': "invalid_message",
    text("battle:watch", battleId=B, after=-1): "invalid_message",
    text("battle:watch", battleId=B, after="1"): "invalid_message",
    text("battle:watch", battleId=B, more=1): "invalid_message",
}

IN_THE_BATTLE = {
    text("battle:undo", battleId=B): "unknown_event",
    text(battleId=B, what=7): "invalid_message",
    text(battleId=B, more=7): "invalid_message",
    text(battleId=B, ms=1.5): "invalid_message",
    text(battleId=B, what="refuse"): "nasty_refusal",
    text(battleId=B, what="raise in decide"): "rules_failed",
    b'{"event":"battle:do","id":1,"payload":{"battleId":"%s","what":"\xff"}}' % B.encode(): "not_json",
    text("battle:join", battleId=B): "already_joined",
    text("battle:begin", battleId=B): "battle_already_begun",
    text("battle:finish", battleId=B): "finish_too_early",
    text(battleId=B[:-1] + "9"): "battle_not_found",
    text("battle:watch", battleId=B[:-1] + "9"): "battle_not_found",
}


@pytest.mark.parametrize(("data", "code"), BEFORE_THE_BATTLE.items())
async def test_what_is_wrong_in_itself_is_refused_at_once(autojump_clock, data, code):
    async with staged() as stage:
        ann = stage.client("ann")
        answer = ann.raw(data)
        assert (answer["event"], answer["payload"]["code"]) == ("error", code)
        assert stage.node.catalog.active == 0


@pytest.mark.parametrize(("data", "code"), IN_THE_BATTLE.items())
async def test_what_is_wrong_for_the_battle_is_refused_and_changes_nothing(autojump_clock, data, code):
    async with staged() as stage:
        await stage.node.battle(B)
        last_seq = stage.node.store.actors[B].last_seq
        ann = stage.client("ann")
        ann.session.on_text(data)
        await stage.settle()
        assert [answer["payload"].get("code") for answer in ann.answers(1)] == [code]
        assert stage.node.store.actors[B].last_seq == last_seq
        assert stage.node.catalog.counters.crashed == 0


async def test_a_stranger_to_the_battle_cannot_play(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        assert await stage.code(eve, eve.say("battle:do", B)) == "not_joined"
        assert await stage.code(eve, eve.say("battle:do", B, playerId="ann")) == "not_joined"


async def test_a_group_is_no_battle_to_watch(autojump_clock):
    async with staged() as stage:
        await stage.node.tell(B, CreateGroup(B, "Wolves", "ann"), birth=Birth("group")).answer()
        eve = stage.client("eve")
        assert await stage.code(eve, eve.say("battle:watch", B)) == "battle_not_found"


async def test_a_connection_is_greeted_and_answered(autojump_clock):
    async with staged() as stage:
        ann = stage.client("ann", instance=7)
        await stage.settle()
        hello, leaderboard = ann.received
        assert (hello["event"], hello["payload"]["playerId"], hello["payload"]["instance"]) == ("hello", "ann", 7)
        assert leaderboard == {"event": "leaderboard", "payload": []}
        pong = await stage.answer(ann, ann.say("ping"))
        assert pong["payload"] == {"serverTimeMs": stage.gateway.now_ms()}


async def test_a_played_command_is_answered_with_its_seq_before_its_event(autojump_clock):
    async with staged() as stage:
        await stage.node.battle(B)
        ann = stage.client("ann")
        await stage.answer(ann, ann.say("battle:watch", B))
        answer = await stage.answer(ann, ann.say("battle:do", B))
        assert answer["payload"] == {"seq": ann.received[-1]["seq"]}
        assert ann.received[-1]["event"] == "battle:do"
        assert "secret" not in ann.received[-1]["payload"]


async def test_a_view_that_is_no_plain_data_is_the_rules_failure(autojump_clock, monkeypatch):
    async with staged() as stage:
        await stage.node.battle(B)
        eve = stage.client("eve")
        monkeypatch.setattr("gameserver.game.battle.Battle.view", lambda self: {"state": "running", "bad": object()})
        assert await stage.code(eve, eve.say("battle:watch", B)) == "rules_failed"


async def test_too_many_unanswered_commands_are_refused(autojump_clock):
    async with staged(websocket={"in_flight_limit": 2}) as stage:
        await stage.node.battle(B)
        ann = stage.client("ann")
        numbers = [ann.say("battle:do", B) for _ in range(3)]
        assert await stage.code(ann, numbers[2]) == "too_many_in_flight"
        assert (await stage.answer(ann, ann.say("battle:do", B)))["event"] == "reply"


async def test_a_flood_is_refused_then_disconnected(autojump_clock):
    async with staged(websocket={"messages_per_second": 10, "messages_burst": 5}) as stage:
        ann = stage.client("ann")
        numbers = [ann.say("ping") for _ in range(8)]
        await stage.settle()
        answered = [ann.answers(number)[0] for number in numbers]
        assert [answer["event"] for answer in answered] == ["reply"] * 5 + ["error"] * 3
        assert {answer["payload"]["code"] for answer in answered[5:]} == {"rate_limited"}
        await trio.sleep(1)
        assert (await stage.answer(ann, ann.say("ping")))["event"] == "reply"
        for _ in range(30):
            ann.say("ping")
        assert ann.connection.closed_with[0] is CloseCode.FLOOD


async def test_what_is_queued_leaves_before_the_close(autojump_clock):
    async with staged() as stage:
        ann = stage.client("ann")
        assert stage.sessions.disconnect("ann") == 1
        assert [message["event"] for message in ann.received] == ["hello", "leaderboard"]
        assert ann.connection.closed_with == [CloseCode.DISCONNECTED]
