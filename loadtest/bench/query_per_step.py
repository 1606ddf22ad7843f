"""Joining a battle the original design's way, as a server to measure beside ours:

    python -m loadtest.bench.query_per_step --port N --postgres URL --redis URL      (and the signing key, see KEY)

Quart on Hypercorn (uvloop), asyncpg's pool, redis-py; one process, as ours. `POST /battles/{id}/join` verifies the
token as our nodes do, and then takes one query per step, each on its own: the battle exists; its state; which of its
groups the player is in; whether they have joined; how many have; then the INSERT, which commits by itself. Afterwards
one event is published to Redis for each member of the battle, the one who has joined included, on that player's
channel: who they are is one more query, and all these events leave in one pipeline, one round trip. Only then the call
is answered.

It is kept as quick as that way allows: prepared statements, every look-up by an index, no ORM, no log, no other
traffic. It lacks what ours does beyond that: idempotency keys, rate limits, exactly one winner of a race between check
and INSERT.
"""

import argparse
import os
from typing import Any, Final

import asyncpg
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, request
from redis.asyncio import Redis

from gameserver.codec import encode
from gameserver.errors import Refused
from gameserver.net.tokens import Tokens, bearer

KEY: Final = "BENCH_SIGNING_KEY"
"""The environment variable."""
TOKEN_TTL_S: Final = 3_600
POOL_SIZE: Final = 16
QUERY_DEADLINE_S: Final = 10.0
PLAYERS_LIMIT: Final = 1_000

SCHEMA: Final = """
CREATE TABLE group_members (group_id uuid, player_id uuid, PRIMARY KEY (group_id, player_id));
CREATE TABLE battles (
    id uuid PRIMARY KEY, group_attacker uuid NOT NULL, group_defender uuid NOT NULL, state text NOT NULL
);
CREATE TABLE battle_members (
    battle_id uuid, player_id uuid, side text NOT NULL, joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (battle_id, player_id)
);
"""
EXISTS: Final = "SELECT group_attacker, group_defender FROM battles WHERE id = $1"
STATE: Final = "SELECT state FROM battles WHERE id = $1"
GROUPS: Final = "SELECT group_id FROM group_members WHERE player_id = $1 AND group_id IN ($2, $3)"
JOINED: Final = "SELECT EXISTS (SELECT FROM battle_members WHERE battle_id = $1 AND player_id = $2)"
COUNT: Final = "SELECT count(*) FROM battle_members WHERE battle_id = $1"
INSERT: Final = "INSERT INTO battle_members (battle_id, player_id, side) VALUES ($1, $2, $3) RETURNING joined_at"
MEMBERS: Final = "SELECT player_id FROM battle_members WHERE battle_id = $1"


class Joining:
    def __init__(self, postgres: "asyncpg.Pool[asyncpg.Record]", redis: Redis) -> None:
        self._postgres, self._redis = postgres, redis

    async def join(self, battle_id: str, player_id: str) -> dict[str, Any]:
        """Raises Refused."""
        battle = await self._postgres.fetchrow(EXISTS, battle_id)
        if battle is None:
            raise Refused("battle_not_found")
        if await self._postgres.fetchval(STATE, battle_id) == "finished":
            raise Refused("battle_finished")
        groups = await self._postgres.fetch(GROUPS, player_id, *battle)
        if len(groups) != 1:
            raise Refused("not_in_exactly_one_group")
        if await self._postgres.fetchval(JOINED, battle_id, player_id):
            raise Refused("already_joined")
        if await self._postgres.fetchval(COUNT, battle_id) >= PLAYERS_LIMIT:
            raise Refused("battle_full")
        side = "attacker" if groups[0]["group_id"] == battle["group_attacker"] else "defender"
        joined_at = await self._postgres.fetchval(INSERT, battle_id, player_id, side)
        joined = {"battle_id": battle_id, "player_id": player_id, "side": side, "joined_at": joined_at.isoformat()}
        await self._publish(battle_id, encode({"event": "battle:join", "payload": joined}))
        return joined

    async def _publish(self, battle_id: str, event: bytes) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for member in await self._postgres.fetch(MEMBERS, battle_id):
            pipeline.publish(f"player:{member['player_id']}", event)
        await pipeline.execute()


def create_app(joining: Joining, tokens: Tokens) -> Quart:
    app = Quart(__name__)

    @app.post("/battles/<battle_id>/join")
    async def join(battle_id: str) -> tuple[dict[str, Any], int]:
        try:
            claims = tokens.verify(bearer(request.headers.get("Authorization")))
            return await joining.join(battle_id, claims.player_id), 200
        except Refused as refused:
            return {"code": refused.code, "detail": refused.message}, 409

    return app


async def _serve(options: argparse.Namespace, signing_key: str) -> None:
    config = Config()
    config.bind, config.backlog = [f"127.0.0.1:{options.port}"], 1_024
    pool = await asyncpg.create_pool(
        options.postgres, min_size=POOL_SIZE, max_size=POOL_SIZE, command_timeout=QUERY_DEADLINE_S
    )
    redis = Redis.from_url(options.redis, socket_timeout=QUERY_DEADLINE_S)
    await serve(create_app(Joining(pool, redis), Tokens(signing_key, TOKEN_TTL_S)), config)


def main() -> None:
    parser = argparse.ArgumentParser(prog="loadtest.bench.query_per_step")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--redis", required=True)
    uvloop.run(_serve(parser.parse_args(), os.environ[KEY]))


if __name__ == "__main__":
    main()
