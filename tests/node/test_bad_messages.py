"""Bad input over WebSocket: each mistake has its code, finds its way back, and leaves all as it was."""

import json
from typing import Any

import pytest
import trio
from attrs import frozen

from gameserver.codec import decode
from gameserver.errors import CODES
from tests.net.raw_client import RawClient, connected, masked, request, text
from tests.node.modes import TIRING
from tests.node.running import NodeThread
from tests.node.stage import Stage, prepared
from tests.node.world import world_of

DEADLINE_S = 10
NUMBER = 7


@pytest.fixture(scope="module")
def stage(node_settings):
    with NodeThread(node_settings(guards={"joins_per_period": 1_000}), [TIRING]) as running:
        yield prepared(running)


@frozen
class Bad:
    """One bad message of `who`; `<name>` in it stands for an ID of the stage. `answered`: the ID in the error."""

    code: str
    message: str
    who: str = "fresh"
    answered: int | None = NUMBER


def bad(code: str, event: str, battle: str = "<running>", who: str = "fresh", **payload: Any) -> Bad:
    return Bad(code, json.dumps({"id": NUMBER, "event": event, "payload": {"battleId": battle, **payload}}), who)


TABLE = [
    # the message
    Bad("not_json", "", answered=None),
    Bad("not_json", "hello", answered=None),
    Bad("not_json", '{"id":7,"event":"ping"', answered=None),
    Bad("invalid_message", "[" * 60_000, answered=None),
    Bad("invalid_message", '{"id":7,"event":"ping","payload":' + "[" * 60_000 + "}", answered=None),
    Bad("invalid_message", "[]", answered=None),
    Bad("invalid_message", '{"event":"ping"}', answered=None),
    Bad("invalid_message", '{"id":"7","event":"ping"}', answered=None),
    Bad("invalid_message", '{"id":7.5,"event":"ping"}', answered=None),
    Bad("invalid_message", '{"id":true,"event":"ping"}', answered=None),
    Bad("invalid_message", '{"id":7}'),
    Bad("invalid_message", '{"id":7,"event":null}'),
    Bad("invalid_message", '{"id":7,"event":"ping","playerId":"<tired>"}'),
    Bad("invalid_message", '{"id":-7,"event":"ping"}', answered=-7),
    Bad("invalid_message", '{"id":9007199254740993,"event":"ping"}', answered=2**53 + 1),
    Bad("nul_in_text", '{"id":7,"event":"pi\x00ng"}', answered=None),
    Bad("nul_in_text", '{"id":7,"event":"ping\\u0000"}'),
    Bad("unknown_event", '{"id":7,"event":"hello"}'),
    Bad("unknown_event", '{"id":7,"event":""}'),
    bad("unknown_event", "battle:dance"),
    bad("unknown_event", "battle:created"),
    # its payload
    Bad("invalid_message", '{"id":7,"event":"battle:attack"}'),
    Bad("invalid_message", '{"id":7,"event":"battle:attack","payload":[]}'),
    Bad("invalid_message", '{"id":7,"event":"battle:attack","payload":null}'),
    bad("invalid_message", "battle:attack", battle=7),
    bad("invalid_message", "battle:attack", playerId="<tired>", damage=1_000),
    bad("invalid_message", "battle:cheer"),
    bad("invalid_message", "battle:cheer", targetId=7),
    bad("invalid_message", "battle:watch", after="7"),
    bad("invalid_message", "battle:watch", after=-1),
    bad("invalid_message", "battle:watch", before=7),
    bad("not_uuid", "battle:attack", battle="7"),
    bad("not_uuid", "battle:join", battle=""),
    bad("not_uuid", "battle:watch", battle="<RUNNING>"),
    # the battle
    *(bad("battle_not_found", f"battle:{event}", "<nowhere>") for event in ("attack", "join", "begin", "watch")),
    *(bad("battle_not_found", f"battle:{event}", "<attackers>") for event in ("join", "begin", "watch")),
    bad("unknown_event", "battle:attack", "<attackers>"),
    bad("not_joined", "battle:attack", who="stranger"),
    bad("not_joined", "battle:guard", who="unseated"),
    bad("not_in_exactly_one_group", "battle:join", who="stranger"),
    bad("not_in_exactly_one_group", "battle:join", who="both"),
    bad("already_joined", "battle:join"),
    bad("already_joined", "battle:join", who="tired"),
    bad("not_allowed_to_begin", "battle:begin", "<pending>", "stranger"),
    bad("not_allowed_to_finish", "battle:finish", who="stranger"),
    bad("not_allowed_to_finish", "battle:finish", who="mate"),
    # its phase
    bad("battle_not_running", "battle:attack", "<pending>", "waiting"),
    bad("battle_not_running", "battle:finish", "<pending>", "waiting"),
    bad("side_missing", "battle:begin", "<lonely>", "lonely"),
    bad("battle_already_begun", "battle:begin", who="tired"),
    bad("finish_too_early", "battle:finish", who="tired"),
    bad("battle_finished", "battle:attack", "<finished>", "fought"),
    bad("battle_finished", "battle:begin", "<finished>", "fought"),
    bad("battle_finished", "battle:finish", "<finished>", "fought"),
    bad("battle_finished", "battle:join", "<finished>", "unseated"),
    # the mode's own guards
    bad("no_energy", "battle:attack", who="tired"),
    bad("not_team_mate", "battle:cheer", targetId="<tired>"),
    bad("not_team_mate", "battle:cheer", targetId="<fresh>"),
    bad("not_team_mate", "battle:cheer", targetId="nobody"),
]


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.code} {bad.who} {bad.message[:60]}")
async def test_a_bad_message_is_refused_with_its_code_and_changes_nothing(stage: Stage, bad: Bad) -> None:
    async with world_of(stage.running) as world, greeted(stage, bad.who) as client:
        before = await stage.untouched(world)
        await client.send(text(stage.filled(bad.message)))
        error = await next_of(client, "error")
        assert error["payload"]["code"] == bad.code
        assert error["payload"]["message"]
        assert error["payload"]["retryable"] == CODES[bad.code].retryable
        assert error["id"] == bad.answered
        assert await stage.untouched(world) == before
        await client.send(text('{"id":8,"event":"ping"}'))
        assert (await next_of(client, "reply"))["id"] == 8


ATTACK = '{"id":7,"event":"battle:attack","payload":{"battleId":"<running>"}}'


@pytest.mark.parametrize(
    ("opcode", "data", "close_code"),
    [
        (2, ATTACK.encode(), 1003),
        (1, ATTACK.encode() + b"\xff", 1007),
        (1, ATTACK.encode() + b" " * 65_536, 1009),
    ],
    ids=["a binary frame", "no UTF-8", "more than 64 KiB"],
)
async def test_what_is_no_message_closes_the_connection_and_changes_nothing(
    stage: Stage, opcode: int, data: bytes, close_code: int
) -> None:
    async with world_of(stage.running) as world, greeted(stage, "fresh") as client:
        before = await stage.untouched(world)
        await client.send(masked(opcode, stage.filled(data.decode("latin-1")).encode("latin-1")))
        with trio.fail_after(DEADLINE_S):
            assert await client.close_code() == close_code
        assert await stage.untouched(world) == before


async def test_an_id_below_a_newer_one_has_expired_and_is_not_run(stage: Stage) -> None:
    async with world_of(stage.running) as world, greeted(stage, "mate") as client:
        await client.send(text(stage.filled(ATTACK).replace('"id":7', '"id":9')))
        assert (await next_of(client, "reply"))["id"] == 9
        before = await stage.untouched(world)
        await client.send(text(stage.filled(ATTACK)))
        assert (await next_of(client, "error"))["payload"]["code"] == "command_expired"
        assert await stage.untouched(world) == before


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "token_missing"), ("nonsense", "token_invalid"), ("forged", "token_invalid"), ("expired", "token_expired")],
)
async def test_without_a_good_token_nobody_connects(stage: Stage, token: str, code: str) -> None:
    headers = [f"Authorization: Bearer {stage.tokens[token]}"] if token else []
    async with connected(stage.running.node.websocket_port, handshake=False) as client:
        await client.send(request("/ws", *headers))
        status, answered, body = await client.answer()
        assert (status, decode(body)["code"]) == (401, code)
        assert answered["content-type"] == "application/problem+json"


async def next_of(client: RawClient, event: str) -> Any:
    """The next message of that name; what else is pushed meanwhile is passed over."""
    with trio.fail_after(DEADLINE_S):
        while True:
            opcode, data = await client.frame()
            if opcode == 1 and decode(data)["event"] == event:
                return decode(data)


def greeted(stage: Stage, who: str) -> Any:
    return connected(stage.running.node.websocket_port, "/ws", f"Authorization: Bearer {stage.people[who].token}")
