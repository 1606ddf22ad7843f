"""Who is connected where, kept in Redis for as long as a node says so.

    presence:{player}   sorted set: "{connection}@{node}" by the time, on Redis's clock, at which it is forgotten

Changes are gathered, the last word on each connection winning, and one task writes them in batches. The same task says
again, three times per TTL, who is still here. A node that dies says nothing more, and its connections are forgotten.

Failure: what cannot be written is dropped, not kept: when Redis is back, or was found empty, everything is written
anew, and who left in between is forgotten after the TTL.
"""

from itertools import islice
from typing import Final

import trio

from gameserver.persistence.redis_store import RedisAway, RedisStore

# KEYS: the player of each connection. ARGV: the TTL; then for each connection its member, and 1 if it is here or 0.
WRITE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if ARGV[2 * i + 1] == '1' then
        redis.call('ZADD', key, now + ttl, ARGV[2 * i])
        redis.call('PEXPIRE', key, ttl)
    else
        redis.call('ZREM', key, ARGV[2 * i])
    end
end
"""

CONNECTIONS_PER_CALL: Final = 500
RENEWALS_PER_TTL: Final = 3

Connection = tuple[str, str]
"""Player and connection."""


class RedisPresence:
    """`run` does the writing. At most `limit` connections are known, and at most twice as many changes wait."""

    def __init__(self, store: RedisStore, node: str, ttl_ms: int, limit: int) -> None:
        self._store, self._node, self._ttl_ms, self._limit = store, node, ttl_ms, limit
        self._script = store.script(WRITE)
        self._here: set[Connection] = set()
        self._unwritten: dict[Connection, bool] = {}
        self._wake = trio.Event()
        self.dropped = 0
        store.on_renewal(self._say_again)

    def __len__(self) -> int:
        return len(self._here)

    @property
    def waiting(self) -> int:
        return len(self._unwritten)

    def connected(self, player_id: str, connection_id: str) -> None:
        if len(self._here) >= self._limit:
            self.dropped += 1
            return
        self._here.add((player_id, connection_id))
        self._note((player_id, connection_id), here=True)

    def disconnected(self, player_id: str, connection_id: str) -> None:
        self._here.discard((player_id, connection_id))
        self._note((player_id, connection_id), here=False)

    async def run(self) -> None:
        renew_at = trio.current_time() + self._renew_interval_s
        while True:
            with trio.move_on_at(renew_at):
                await self._wake.wait()
            self._wake = trio.Event()
            if trio.current_time() >= renew_at:
                renew_at = trio.current_time() + self._renew_interval_s
                self._say_again()
            await self._write()

    @property
    def _renew_interval_s(self) -> float:
        return self._ttl_ms / RENEWALS_PER_TTL / 1_000

    def _note(self, connection: Connection, *, here: bool) -> None:
        """Too many leave for Redis to follow: the TTL forgets what we don't say. Who is here is said again anyway."""
        if connection not in self._unwritten and len(self._unwritten) >= 2 * self._limit:
            self.dropped += 1
            return
        self._unwritten[connection] = here
        self._wake.set()

    def _say_again(self) -> None:
        for connection in self._here:
            self._note(connection, here=True)

    async def _write(self) -> None:
        while self._unwritten:
            batch = dict(islice(self._unwritten.items(), CONNECTIONS_PER_CALL))
            for connection in batch:
                del self._unwritten[connection]
            try:
                await self._write_some(batch)
            except RedisAway:
                self.dropped += len(batch) + len(self._unwritten)
                self._unwritten.clear()

    async def _write_some(self, batch: dict[Connection, bool]) -> None:
        keys = [self._store.key("presence", player_id) for player_id, _ in batch]
        args: list[str | int] = [self._ttl_ms]
        for (_, connection_id), here in batch.items():
            args += (f"{connection_id}@{self._node}", int(here))
        await self._store.call(lambda _: self._script(keys, args))
