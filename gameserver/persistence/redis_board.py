"""The data of the leaderboards in Redis, and the scripts that keep it consistent.

    leaderboard:{window_ms}              the generation that counts
    leaderboard:{window_ms}:build        held by the node that builds the next one
    …:{generation}:all, …:window         sorted sets: "{name}\\0{group}" by minus the points: ties come by name, then ID
    …:{generation}:entries               sorted set: "{battle}|{group}|{score}" by the time at which the battle finished
    …:{generation}:names                 hash: the name under which a group stands in the two sets
    …:{generation}:meta                  hash: cut, horizon, checkpoint; late once a score came too late to be counted

Invariants of a generation
- A battle is in `all` exactly once: whoever adds its entry adds its points, in the same script.
- `window` holds the points of the entries later than `cut`. Raising `cut` takes away what leaves the window.
- Entries up to `horizon` are forgotten, so that they don't pile up for ever. Whether a score from that time has been
  counted cannot be told: it is `late`, nothing is changed, and the generation has to be replaced by a new one.
- Every score committed up to `checkpoint` is in it, but for what the caller's overlap allows for.

A generation is built under keys that expire, and counts from one moment to the next, complete. The scripts find its
keys by themselves, from the first one: this needs one Redis, not a Redis Cluster.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from attrs import frozen
from redis.asyncio import Redis

from gameserver.persistence.postgres_leaderboards import Score, Total
from gameserver.persistence.redis_store import RedisStore

KEPT_MS: Final = 3_600_000
BUILD_TTL_MS: Final = 30_000

COMMON: Final = """
local function base_of(generation)
    if generation == '' then generation = redis.call('GET', KEYS[1]) end
    local base = generation and KEYS[1] .. ':' .. generation
    return base and redis.call('EXISTS', base .. ':meta') == 1 and base
end

local function add(base, set, group, points)
    local member = redis.call('HGET', base .. ':names', group) .. '\\0' .. group
    local total = redis.call('ZINCRBY', base .. ':' .. set, -points, member)
    if tonumber(total) == 0 then redis.call('ZREM', base .. ':' .. set, member) end
end

local function slide(base, cut, horizon)
    local entries, meta = base .. ':entries', base .. ':meta'
    local last_cut, last_horizon = unpack(redis.call('HMGET', meta, 'cut', 'horizon'))
    if tonumber(cut) > tonumber(last_cut) then
        for _, entry in ipairs(redis.call('ZRANGEBYSCORE', entries, '(' .. last_cut, cut)) do
            local group, points = string.match(entry, '|(.-)|(.*)$')
            add(base, 'window', group, -tonumber(points))
        end
        redis.call('HSET', meta, 'cut', cut)
    end
    if tonumber(horizon) > tonumber(last_horizon) then
        redis.call('ZREMRANGEBYSCORE', entries, '-inf', horizon)
        redis.call('HSET', meta, 'horizon', horizon)
    end
end

local function each_key(base, work)
    for _, part in ipairs({'all', 'window', 'entries', 'names', 'meta'}) do work(base .. ':' .. part) end
end
"""

# ARGV: generation or '', cut, horizon; then battle, group, name, points and time of each score.
RECORD: Final = """
local base = base_of(ARGV[1])
if not base then return 'absent' end
slide(base, ARGV[2], ARGV[3])
local cut, horizon = unpack(redis.call('HMGET', base .. ':meta', 'cut', 'horizon'))
local answer = 'recorded'
for i = 4, #ARGV, 5 do
    local battle, group, name, points, finished = unpack(ARGV, i, i + 4)
    if tonumber(finished) <= tonumber(horizon) then
        redis.call('HSET', base .. ':meta', 'late', 1)
        answer = 'late'
    elseif redis.call('ZADD', base .. ':entries', 'NX', finished, battle .. '|' .. group .. '|' .. points) == 1 then
        redis.call('HSETNX', base .. ':names', group, name)
        add(base, 'all', group, tonumber(points))
        if tonumber(finished) > tonumber(cut) then add(base, 'window', group, tonumber(points)) end
    end
end
return answer
"""

# ARGV: set, cut, horizon, limit.
TOP: Final = """
local base = base_of('')
if not base then return false end
slide(base, ARGV[2], ARGV[3])
return redis.call('ZRANGEBYSCORE', base .. ':' .. ARGV[1], '-inf', '(0', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
"""

# Gives the generation, and whether it is complete up to a checkpoint that a caller can go on from.
STATE: Final = """
local generation = redis.call('GET', KEYS[1])
local base = base_of('')
if not base then return false end
local checkpoint, horizon, late = unpack(redis.call('HMGET', base .. ':meta', 'checkpoint', 'horizon', 'late'))
return {generation, checkpoint, horizon, late or '0'}
"""

# ARGV: generation, checkpoint.
REACHED: Final = """
local base = base_of(ARGV[1])
if base and tonumber(ARGV[2]) > tonumber(redis.call('HGET', base .. ':meta', 'checkpoint')) then
    redis.call('HSET', base .. ':meta', 'checkpoint', ARGV[2])
end
"""

# ARGV: generation, TTL; then group, name and points of each total. Keeps what is being built alive.
LOAD: Final = """
local base = base_of(ARGV[1])
if not base then return 'absent' end
for i = 3, #ARGV, 3 do
    redis.call('HSETNX', base .. ':names', ARGV[i], ARGV[i + 1])
    add(base, 'all', ARGV[i], tonumber(ARGV[i + 2]))
end
each_key(base, function(key) redis.call('PEXPIRE', key, ARGV[2]) end)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 'recorded'
"""

# ARGV: generation. From here on it counts, and the one before it is deleted.
PUBLISH: Final = """
local base = base_of(ARGV[1])
if not base then return 'absent' end
each_key(base, function(key) redis.call('PERSIST', key) end)
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
if before then each_key(KEYS[1] .. ':' .. before, function(key) redis.call('UNLINK', key) end) end
redis.call('DEL', KEYS[2])
return 'recorded'
"""

Recorded = Literal["recorded", "late", "absent"]
"""`absent`: there is no such generation; Redis was emptied, or its keys have expired."""


@frozen
class Span:
    """What a moment means: the window is what is later than `cut_ms`, entries are kept later than `horizon_ms`."""

    cut_ms: int
    horizon_ms: int


def span_at(now_ms: int, window_ms: int) -> Span:
    return Span(now_ms - window_ms, now_ms - max(window_ms, KEPT_MS))


@frozen
class BoardState:
    generation: str
    checkpoint_ms: int
    horizon_ms: int
    late: bool


class RedisBoard:
    """Typed access to the scripts. Every call is one round trip and may raise RedisAway."""

    def __init__(self, store: RedisStore, window_ms: int) -> None:
        self._store = store
        self._pointer = store.key("leaderboard", str(window_ms))
        self._keys = (self._pointer, f"{self._pointer}:build")
        self._scripts = {text: store.script(COMMON + text) for text in (RECORD, TOP, STATE, REACHED, LOAD, PUBLISH)}

    async def state(self) -> BoardState | None:
        found = await self._run(STATE)
        if not found:
            return None
        generation, checkpoint, horizon, late = cast("list[str]", found)
        return BoardState(generation, int(checkpoint), int(horizon), late != "0")

    async def top(self, part: Literal["all", "window"], span: Span, limit: int) -> Sequence[Total] | None:
        """None if there is no generation."""
        found = await self._run(TOP, part, span.cut_ms, span.horizon_ms, limit)
        if found is None:
            return None
        texts = cast("list[str]", found)
        return [_total(member, points) for member, points in zip(texts[::2], texts[1::2], strict=True)]

    async def record(self, generation: str, span: Span, scores: Sequence[Score]) -> Recorded:
        """Into `generation`, or if that is empty, into the one that counts."""
        values = [v for s in scores for v in (s.battle_id, s.group_id, s.name, s.score, s.finished_at_ms)]
        answer = await self._run(RECORD, generation, span.cut_ms, span.horizon_ms, *values)
        return cast("Recorded", answer)

    async def reached(self, generation: str, checkpoint_ms: int) -> None:
        await self._run(REACHED, generation, checkpoint_ms)

    async def begin(self, generation: str, span: Span, checkpoint_ms: int) -> bool:
        """Begin to build; False if another node is building."""

        async def work(client: "Redis") -> bool:
            if not await client.set(self._keys[1], generation, nx=True, px=BUILD_TTL_MS):
                return False
            meta: dict[Any, Any] = {"cut": span.cut_ms, "horizon": span.horizon_ms, "checkpoint": checkpoint_ms}
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.hset(f"{self._pointer}:{generation}:meta", mapping=meta)
                pipeline.pexpire(f"{self._pointer}:{generation}:meta", BUILD_TTL_MS)
                await pipeline.execute()
            return True

        return await self._store.call(work)

    async def load(self, generation: str, totals: Sequence[Total] = ()) -> Recorded:
        """Add to what is being built, and keep it alive for another while. Not to be repeated with the same totals."""
        values = [v for total in totals for v in (total.group_id, total.name, total.score)]
        return cast("Recorded", await self._run(LOAD, generation, BUILD_TTL_MS, *values))

    async def publish(self, generation: str) -> Recorded:
        return cast("Recorded", await self._run(PUBLISH, generation))

    async def _run(self, text: str, *args: str | int) -> object:
        script = self._scripts[text]
        answer: object = await self._store.call(lambda _: script(self._keys, args))
        return answer


def _total(member: str, points: str) -> Total:
    name, _, group_id = member.rpartition("\0")
    return Total(group_id, name, -int(float(points)))
