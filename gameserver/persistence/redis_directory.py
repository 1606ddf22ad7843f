"""Where nodes find each other, in Redis.

    nodes    hash: a node's name -> "{time of its last beat, in Redis's milliseconds} {its NodeInfo as JSON}"

One script writes a node's beat and reads all others', so that ages are by one clock, and nobody has to be told twice.
It is one key, so that a beat and its info cannot part, and Redis Cluster can run the script. The key itself expires
when the last node has been silent for long enough.

Failure: a wiped Redis holds every living node again after one beat. When Redis's clock steps back, or another Redis
with a slower clock takes over, beats from the future count as beats of now: a dead node ages from then on.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gameserver.cluster.ports import NodeInfo, Sighting
from gameserver.codec import decode, encode, structure, unstructure
from gameserver.config import ClusterSettings
from gameserver.errors import DirectoryAway, Refused
from gameserver.persistence.redis_store import RedisAway, RedisStore, Script

T = TypeVar("T")
log = structlog.get_logger()

# KEYS: nodes. ARGV: name, info, forget_ms. Gives name, info and age in milliseconds of each node.
MEET: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function note(name, beat, info)
    redis.call('HSET', KEYS[1], name, string.format('%.0f %s', beat, info))
end

note(ARGV[1], now, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local seen = {}
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
    local name, beat, info = stored[i], string.match(stored[i + 1], '^(%d+) (.*)$')
    local age = beat and now - beat
    if not age or age > tonumber(ARGV[3]) then
        redis.call('HDEL', KEYS[1], name)
    else
        if age < 0 then
            note(name, now, info)
            age = 0
        end
        seen[#seen + 1] = name
        seen[#seen + 1] = info
        seen[#seen + 1] = age
    end
end
return seen
"""

# KEYS: nodes. ARGV: name, incarnation.
LEAVE: Final = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return end
local readable, info = pcall(cjson.decode, string.match(stored, '^%d+ (.*)$'))
if readable and type(info) == 'table' and info.incarnation == ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[1])
end
"""


class RedisDirectory:
    def __init__(self, store: RedisStore, settings: ClusterSettings) -> None:
        self._store, self._forget_ms = store, settings.forget_ms
        self._meet, self._leave = store.script(MEET), store.script(LEAVE)
        self._strangers: set[str] = set()

    async def meet(self, me: NodeInfo) -> Sequence[Sighting]:
        info = encode(unstructure(me)).decode()
        rows: list[Any] = await self._run(self._meet, [me.name, info, self._forget_ms])
        return list(self._sightings(rows))

    async def leave(self, me: NodeInfo) -> None:
        await self._run(self._leave, [me.name, me.incarnation])

    async def _run(self, script: Script, args: Sequence[str | int]) -> Any:
        try:
            return await self._store.call(lambda _: script([self._store.key("nodes")], args))
        except RedisAway as error:
            raise DirectoryAway(str(error)) from error

    def _sightings(self, rows: Sequence[Any]) -> Iterator[Sighting]:
        """A node whose info we cannot read is of another version: others may know it, we can't talk to it."""
        strangers: set[str] = set()
        for name, text, age_ms in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
            try:
                yield Sighting(structure(decode(text.encode()), NodeInfo), age_ms)
            except (msgspec.DecodeError, Refused) as error:
                strangers.add(name)
                if name not in self._strangers:
                    log.warning("directory.info_not_understood", node=name, error=str(error))
        self._strangers = strangers
