"""Signing up, coming back and leaving, over HTTP and on a real PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client

from gameserver.config import AuthSettings, PostgresSettings
from gameserver.ids import is_uuid
from gameserver.persistence.postgres import open_postgres
from gameserver.persistence.postgres_accounts import PostgresAccounts
from tests.net.http_world import TOKENS, app

KEY = {"Idempotency-Key": "0123456789abcdefghijkl"}


class Closed(list[str]):
    """The sessions whose sockets were closed."""

    def close_session(self, session_id: str) -> None:
        self.append(session_id)


@pytest.fixture
def closed() -> Closed:
    return Closed()


@pytest.fixture
async def client(database: str, closed: Closed) -> AsyncIterator[Client]:
    settings = PostgresSettings(url=database)
    async with open_postgres(settings, "test", 10_000) as postgres:
        yield app(accounts=PostgresAccounts(postgres, AuthSettings()), sessions=closed).test_client()


async def post(client: Client, path: str, body: Any, **options: Any) -> tuple[int, Any]:
    response = await client.post(path, json=body, **options)
    return response.status_code, await response.get_json()


async def test_sign_up_come_back_and_leave(client: Client, closed: Closed) -> None:
    status, ada = await post(client, "/players", {"username": "Ada", "telegram_id": 42})
    assert status == 201
    assert is_uuid(ada["id"])
    me = await client.get("/players/me", headers={"Authorization": f"Bearer {ada['token']}"})
    expected = {"id": ada["id"], "username": "Ada", "telegram_id": 42, "created_at": ada["created_at"], "achieved": 0}
    assert await me.get_json() == expected

    status, renewed = await post(client, "/sessions", {"refresh_token": ada["refresh_token"]})
    assert (status, renewed["player_id"]) == (200, ada["id"])
    left = await client.delete("/sessions", headers={"Authorization": f"Bearer {renewed['token']}"})
    assert (left.status_code, await left.get_data()) == (204, b"")
    assert closed == [TOKENS.verify(ada["token"]).session_id]
    status, problem = await post(client, "/sessions", {"refresh_token": ada["refresh_token"]})
    assert (status, problem["code"]) == (401, "refresh_token_invalid")


async def test_a_lost_answer_can_be_asked_for_again(client: Client) -> None:
    _, first = await post(client, "/players", {"username": "Ada"}, headers=KEY)
    status, again = await post(client, "/players", {"username": "Ada"}, headers=KEY)
    assert status == 201
    for answer in (first, again):
        assert TOKENS.verify(answer.pop("token")).player_id == answer["id"]
        del answer["token_expires_at"]
    assert again == first
    status, problem = await post(client, "/players", {"username": "Bob"}, headers=KEY)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    status, problem = await post(client, "/players", {"username": "ADA"})
    assert (status, problem["code"]) == (409, "username_taken")


async def test_the_token_of_a_player_who_is_gone(client: Client) -> None:
    token = TOKENS.issue(TOKENS.claims("019a0000-0000-7000-8000-000000000000", "session"))
    response = await client.get("/players/me", headers={"Authorization": f"Bearer {token}"})
    assert (await response.get_json())["code"] == "player_not_found"
