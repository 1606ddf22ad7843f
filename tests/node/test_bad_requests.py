"""Bad requests over HTTP against the whole node: a code, a status, and state and journal as they were before.

What the HTTP edge refuses by itself has its own table in tests/net; here is what only the game can know.
"""

from typing import Any

import pytest
from attrs import frozen

from gameserver.codec import encode
from gameserver.errors import CODES
from gameserver.ids import new_id
from tests.node.modes import TIRING
from tests.node.running import NodeThread
from tests.node.stage import Stage, prepared
from tests.node.world import request, world_of


@pytest.fixture(scope="module")
def stage(node_settings):
    with NodeThread(node_settings(guards={"joins_per_period": 1_000}), [TIRING]) as running:
        yield prepared(running)


@frozen
class Bad:
    code: str
    path: str
    who: str = "stranger"
    body: Any = None
    method: str = "POST"
    token: str | None = None
    """Of the stage's bad ones, instead of the player's own."""


def attack(code: str, attacker: str, defender: str, who: str, mode: str = "tiring") -> Bad:
    return Bad(code, "/battles", who, {"group_attacker": attacker, "group_defender": defender, "mode": mode})


TABLE = [
    # who are you?
    *(
        Bad(code, "/battles/<running>/begin", token=token)
        for token, code in (
            ("", "token_missing"),
            ("nonsense", "token_invalid"),
            ("forged", "token_invalid"),
            ("expired", "token_expired"),
        )
    ),
    Bad("refresh_token_invalid", "/sessions", token="", body={"refresh_token": "somebody else's"}),
    # names and groups
    Bad("username_taken", "/players", token="", body={"username": "<name of fresh>"}),
    Bad("username_taken", "/players", token="", body={"username": "<NAME OF FRESH>"}),
    Bad("name_too_long", "/players", token="", body={"username": "x" * 65}),
    Bad("name_too_long", "/groups", body={"name": "x" * 65}),
    Bad("group_name_taken", "/groups", body={"name": "<name of attackers>"}),
    Bad("already_in_group", "/groups/<attackers>/join", "tired"),
    Bad("not_in_group", "/groups/<attackers>/leave"),
    Bad("group_has_open_battles", "/groups/<waiting attackers>/leave", "waiting"),
    Bad("group_not_found", "/groups/<nowhere>/join"),
    Bad("group_not_found", "/groups/<running>/join"),
    Bad("group_not_found", "/groups/<nowhere>", method="GET"),
    # a new battle
    attack("unknown_mode", "<attackers>", "<defenders>", "tired", mode="chess"),
    attack("group_not_found", "<attackers>", "<nowhere>", "tired"),
    attack("group_not_found", "<nowhere>", "<defenders>", "tired"),
    attack("same_group", "<attackers>", "<attackers>", "tired"),
    attack("not_in_exactly_one_group", "<attackers>", "<defenders>", "stranger"),
    attack("not_in_exactly_one_group", "<attackers>", "<defenders>", "both"),
    attack("creation_rate_limited", "<attackers>", "<waiting defenders>", "tired"),
    attack("group_cooling_down", "<attackers>", "<waiting defenders>", "second"),
    # a battle there is
    Bad("not_uuid", "/battles/<RUNNING>/join"),
    Bad("not_uuid", "/battles/7", method="GET"),
    Bad("battle_not_found", "/battles/<nowhere>/join"),
    Bad("battle_not_found", "/battles/<attackers>/begin"),
    Bad("battle_not_found", "/battles/<nowhere>", method="GET"),
    Bad("not_in_exactly_one_group", "/battles/<running>/join", "stranger"),
    Bad("not_in_exactly_one_group", "/battles/<running>/join", "both"),
    Bad("already_joined", "/battles/<running>/join", "fresh"),
    Bad("battle_finished", "/battles/<finished>/join", "unseated"),
    Bad("not_allowed_to_begin", "/battles/<pending>/begin", "unseated"),
    Bad("side_missing", "/battles/<lonely>/begin", "lonely"),
    Bad("battle_already_begun", "/battles/<running>/begin", "fresh"),
    Bad("battle_finished", "/battles/<finished>/begin", "fought"),
    Bad("not_allowed_to_finish", "/battles/<running>/finish", "second"),
    Bad("finish_too_early", "/battles/<running>/finish", "tired"),
    Bad("battle_not_running", "/battles/<pending>/finish", "waiting"),
    Bad("battle_finished", "/battles/<finished>/finish", "fought"),
]


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.code} {bad.method} {bad.path} {bad.who}")
async def test_a_bad_request_is_refused_with_its_code_and_status_and_changes_nothing(stage: Stage, bad: Bad) -> None:
    async with world_of(stage.running) as world:
        before = await stage.untouched(world)
        status, headers, problem = await send(stage, bad)
        assert (problem["code"], status) == (bad.code, CODES[bad.code].status)
        assert headers["content-type"] == "application/problem+json"
        assert problem["detail"]
        if status == 429:
            assert int(headers["retry-after"]) * 1_000 >= problem["retry_after_ms"] > 0
        assert await stage.untouched(world) == before


async def test_a_body_beyond_the_limit_is_refused(stage: Stage) -> None:
    async with world_of(stage.running) as world:
        before = await stage.untouched(world)
        status, _, problem = await send(stage, Bad("message_too_large", "/groups", body={"name": "x" * 65_536}))
        assert (status, problem["code"]) == (413, "message_too_large")
        assert await stage.untouched(world) == before


@pytest.mark.parametrize("token", ["", "nonsense", "a player's"])
async def test_the_admin_api_opens_to_operators_only(stage: Stage, token: str) -> None:
    async with world_of(stage.running) as world:
        before = await stage.untouched(world)
        shown = stage.people["tired"].token if token == "a player's" else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        path = stage.filled("/admin/battles/<running>/finish")
        status, _, problem = await request(stage.running.node.admin_port, "POST", path, **headers)
        assert (status, problem["code"]) == (401, "token_invalid" if shown else "token_missing")
        assert await stage.untouched(world) == before


async def send(stage: Stage, bad: Bad) -> tuple[int, dict[str, str], Any]:
    token = stage.people[bad.who].token if bad.token is None else stage.tokens.get(bad.token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if bad.method == "POST":
        headers["Idempotency-Key"] = new_id()
    body = b"" if bad.body is None else stage.filled(encode(bad.body).decode()).encode()
    if body:
        headers["Content-Type"] = "application/json"
    return await request(stage.running.node.http_port, bad.method, stage.filled(bad.path), body, **headers)
