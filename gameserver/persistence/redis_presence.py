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

from gameserver.beats import beat_after
from gameserver.persistence.redis_store import RedisAway, RedisStore
from gameserver.turns import strides

# KEYS: the player of each connection. ARGV: the TTL; the node; how many of the connections are here, the others, behind
# them, being gone; and their names, with spaces between: one long argument is made much faster than many short ones.
WRITE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl, node, here = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local i = 0
for connection in string.gmatch(ARGV[4], '%S+') do
    i = i + 1
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    if i <= here then
        redis.call('ZADD', KEYS[i], now + ttl, connection .. '@' .. node)
        redis.call('PEXPIRE', KEYS[i], ttl)
    else
        redis.call('ZREM', KEYS[i], connection .. '@' .. node)
    end
end
"""

CONNECTIONS_PER_CALL: Final = 500
RENEWALS_PER_TTL: Final = 3
GATHER_S: Final = 0.02
"""Between two writes: who comes with a crowd is written with it, and not alone."""

Connection = tuple[str, str]
"""Player and connection."""


class RedisPresence:
    """`run` does the writing. At most `limit` connections are known, and at most twice as many changes wait."""

    def __init__(self, store: RedisStore, node: str, ttl_ms: int, limit: int) -> None:
        self._store, self._node, self._ttl_ms, self._limit = store, node, ttl_ms, limit
        self._script = store.script(WRITE)
        self._here: set[Connection] = set()
        self._unwritten: dict[Connection, bool] = {}
        self._renew_at = trio.current_time()
        self._wake = trio.Event()
        self.dropped = 0
        store.on_renewal(self._renew_now)

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
        while True:
            with trio.move_on_at(self._renew_at):
                await self._wake.wait()
            self._wake = trio.Event()
            try:
                await self._write_changes()
                if trio.current_time() >= self._renew_at:
                    self._renew_at = beat_after(trio.current_time(), self._ttl_ms / RENEWALS_PER_TTL / 1_000)
                    await self._say_again()
            except RedisAway:
                self.dropped += len(self._unwritten)
                self._unwritten.clear()
            await trio.sleep(GATHER_S)

    def _renew_now(self) -> None:
        self._renew_at = trio.current_time()
        self._wake.set()

    def _note(self, connection: Connection, *, here: bool) -> None:
        """Too many leave for Redis to follow: the TTL forgets what we don't say. Who is here is said again anyway."""
        if connection not in self._unwritten and len(self._unwritten) >= 2 * self._limit:
            self.dropped += 1
            return
        self._unwritten[connection] = here
        self._wake.set()

    async def _write_changes(self) -> None:
        """Raises RedisAway."""
        while self._unwritten:
            batch = dict(islice(self._unwritten.items(), CONNECTIONS_PER_CALL))
            for connection in batch:
                del self._unwritten[connection]
            here = [connection for connection, is_here in batch.items() if is_here]
            await self._write(here, [connection for connection, is_here in batch.items() if not is_here])

    async def _say_again(self) -> None:
        """Raises RedisAway. Who leaves meanwhile is not said again: that it is gone is written after this."""
        for some in strides(list(self._here), CONNECTIONS_PER_CALL):
            await self._write([connection for connection in some if connection in self._here], [])

    async def _write(self, here: list[Connection], gone: list[Connection]) -> None:
        """Raises RedisAway."""
        connections, prefix = here + gone, self._store.key("presence", "")
        keys = [prefix + player_id for player_id, _ in connections]
        names = " ".join(connection_id for _, connection_id in connections)
        args: list[str | int] = [self._ttl_ms, self._node, len(here), names]
        try:
            await self._store.call(lambda _: self._script(keys, args))
        except RedisAway:
            self.dropped += len(connections)
            raise
