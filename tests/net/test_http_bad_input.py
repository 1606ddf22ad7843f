"""Bad input over HTTP: each mistake has its own code and status, and no part behind the edge is touched."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve, frozen

from gameserver.game.guards import Guards
from gameserver.ids import derived_id
from gameserver.net.tokens import Tokens
from tests.net.http_world import SESSION, TOKENS, app, authorization, settings

ID, OTHER = derived_id("one"), derived_id("another")
LIMIT_BYTES = 1_000


@frozen
class Bad:
    """One bad request. `body` is sent as it is; what is not given is right."""

    code: str
    status: int
    path: str = "/groups"
    method: str = "POST"
    body: bytes = b'{"name":"Foxes"}'
    headers: Mapping[str, str] = MappingProxyType({})
    token: str | None = "valid"
    content_type: str = "application/json"


def battle(**fields: str) -> bytes:
    return str({"group_attacker": ID, "group_defender": OTHER, **fields}).replace("'", '"').encode()


def get(path: str, code: str, status: int = 400) -> Bad:
    return Bad(code, status, path, "GET", b"")


def sign_up(body: bytes, code: str, status: int = 400, **headers: str) -> Bad:
    return Bad(code, status, "/players", body=body, headers=headers, token=None)


def expired() -> str:
    return TOKENS.issue(evolve(TOKENS.claims(ID, SESSION), expires_at=1))


def forged() -> str:
    return Tokens("another secret", 60).issue(TOKENS.claims(ID, SESSION))


TABLE = [
    # the body
    Bad("not_json", 400, body=b""),
    Bad("not_json", 400, body=b"{"),
    Bad("not_json", 400, body=b"[]"),
    Bad("not_json", 400, body=b'"text"'),
    Bad("not_json", 400, body=b'{"name":"\xff"}'),
    Bad("not_json", 400, body=b'{"name":"\\ud800"}'),
    Bad("not_json", 400, body=b"[" * 900),
    Bad("message_too_large", 413, body=b'{"name":"' + b"x" * LIMIT_BYTES + b'"}'),
    Bad("unsupported_media_type", 415, content_type="text/plain"),
    Bad("unsupported_media_type", 415, content_type=""),
    Bad("nul_in_text", 400, body=b'{"name":"a\x00b"}'),
    Bad("nul_in_text", 400, body=b'{"name":"a\\u0000b"}'),
    Bad("nul_in_text", 400, body=b'{"a\\u0000b":[]}'),
    Bad("invalid_message", 400, body=b"{}"),
    Bad("invalid_message", 400, body=b'{"name":7}'),
    Bad("invalid_message", 400, body=b'{"name":null}'),
    Bad("invalid_message", 400, body=b'{"name":["Foxes"]}'),
    Bad("invalid_message", 400, body=b'{"name":"Foxes","colour":"red"}'),
    Bad("invalid_message", 400, f"/groups/{ID}/join", body=b'{"as":"owner"}'),
    # names
    Bad("name_too_long", 400, body=b'{"name":""}'),
    Bad("name_too_long", 400, body=b'{"name":"' + b"x" * 65 + b'"}'),
    Bad("invalid_message", 400, body=b'{"name":" Foxes"}'),
    Bad("invalid_message", 400, body=b'{"name":"Fox\\nes"}'),
    sign_up(b'{"username":""}', "name_too_long"),
    sign_up(b'{"username":"Ada","telegram_id":"7"}', "invalid_message"),
    sign_up(b'{"username":"Ada","telegram_id":true}', "invalid_message"),
    sign_up(b'{"username":"Ada","telegram_id":0}', "invalid_message"),
    sign_up(b'{"username":"Ada","telegram_id":9223372036854775808}', "invalid_message"),
    sign_up(b'{"username":"Ada","telegram_id":1e400}', "not_json"),
    # identity
    Bad("token_missing", 401, token=None),
    Bad("token_missing", 401, token=""),
    Bad("token_invalid", 401, token="nonsense"),
    Bad("token_invalid", 401, token=forged()),
    Bad("token_expired", 401, token=expired()),
    Bad("token_invalid", 401, token=None, headers={"Authorization": "Basic YTpi"}),
    Bad("token_missing", 401, "/battles/no-uuid", "GET", token=None),
    Bad("invalid_message", 400, "/sessions", body=b'{"refresh_token":7}', token=None),
    Bad("refresh_token_invalid", 401, "/sessions", body='{"refresh_token":"ä"}'.encode(), token=None),
    # keys
    Bad("idempotency_key_invalid", 400, headers={"Idempotency-Key": ""}),
    Bad("idempotency_key_invalid", 400, headers={"Idempotency-Key": "k" * 201}),
    Bad("idempotency_key_invalid", 400, headers={"Idempotency-Key": "käse"}),
    sign_up(b'{"username":"Ada"}', "idempotency_key_invalid", **{"Idempotency-Key": "k" * 21}),
    # addresses
    get("/nowhere", "not_found", 404),
    get("/groups/", "not_found", 404),
    Bad("method_not_allowed", 405, "/groups", "DELETE"),
    Bad("method_not_allowed", 405, f"/groups/{ID}/join", "GET", b""),
    get("/groups/7", "not_uuid", 404),
    get("/battles/%00", "not_uuid", 404),
    get(f"/battles/{ID.upper()}", "not_uuid", 404),
    Bad("not_uuid", 404, "/battles/7/begin", body=b""),
    # queries
    get("/groups?cursor=7", "invalid_cursor"),
    get("/groups?cursor=W10", "invalid_cursor"),
    get("/groups?cursor=%C3%A4", "invalid_cursor"),
    get("/groups?limit=0", "invalid_message"),
    get("/groups?limit=-1", "invalid_message"),
    get("/groups?limit=x", "invalid_message"),
    get("/groups?limit=99999999999999999999", "invalid_message"),
    get("/groups?colour=red", "invalid_message"),
    get("/groups?limit=1&limit=2", "invalid_message"),
    get("/groups?cursor=%00", "nul_in_text"),
    get("/battles?state=lost", "invalid_message"),
    get("/battles?group=7", "invalid_message"),
    get("/leaderboards?window=1h", "invalid_message"),
    get("/leaderboards?limit=0", "invalid_message"),
    # battles
    Bad("unknown_mode", 400, "/battles", body=battle(mode="chess")),
    Bad("same_group", 400, "/battles", body=battle(group_defender=ID)),
    Bad("invalid_message", 400, "/battles", body=battle(group_attacker="7")),
    Bad("invalid_message", 400, "/battles", body=battle(mode="classic", colour="red")),
    # browsers
    Bad("origin_not_allowed", 403, headers={"Origin": "https://evil.example"}),
]


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.code} {bad.method} {bad.path} {bad.body[:24]!r}")
async def test_bad_input_is_refused_with_its_code_and_touches_nothing(bad: Bad) -> None:
    client = app(settings=evolve(settings(body_limit_bytes=LIMIT_BYTES), guards=Guards())).test_client()
    response = await client.open(bad.path, method=bad.method, data=bad.body, headers=_headers(bad))
    problem: Any = await response.get_json()
    assert (problem["code"], response.status_code) == (bad.code, bad.status)
    assert response.content_type == "application/problem+json"
    assert problem["status"] == bad.status
    assert problem["type"].endswith(bad.code)
    assert problem["detail"]
    assert response.headers.get("WWW-Authenticate") == ("Bearer" if bad.status == 401 else None)


def _headers(bad: Bad) -> dict[str, str]:
    headers = dict(bad.headers)
    if bad.content_type:
        headers["Content-Type"] = bad.content_type
    if bad.token == "valid":
        return {**authorization(), **headers}
    return headers if bad.token is None else {"Authorization": f"Bearer {bad.token}", **headers}
