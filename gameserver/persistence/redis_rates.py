"""Rates in Redis: a sliding window per action and subject, shared by all nodes.

A window is a sorted set of attempts by the time at which they were allowed, in Redis's own milliseconds, so that nodes
need not agree on a clock. One script answers all questions of a call, in order, in one round trip. An attempt that is
in its window has been counted already: asked again, it is allowed and changes nothing. So a lost answer costs nobody
a turn.

Failure: while Redis is away the node counts by itself, from nothing: a player gets at most one allowance more per
node.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis

from gameserver.cluster.ports import RateQuestion
from gameserver.config import RedisSettings
from gameserver.persistence.memory_rates import MemoryRates
from gameserver.persistence.redis_store import RedisAway, RedisStore

# KEYS: a window per question. ARGV: attempt, limit and period per question. Gives -1 for yes, or milliseconds to wait.
TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function take(key, attempt, limit, period)
    if limit <= 0 then return period end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - period)
    if redis.call('ZSCORE', key, attempt) then return -1 end
    local taken = redis.call('ZCARD', key)
    if taken < limit then
        if period > 0 then
            redis.call('ZADD', key, now, attempt)
            redis.call('PEXPIRE', key, period)
        end
        return -1
    end
    local leaves_next = redis.call('ZRANGE', key, taken - limit, taken - limit, 'WITHSCORES')[2]
    return math.min(leaves_next + period - now, period)
end

local answers = {}
for i, key in ipairs(KEYS) do
    answers[i] = take(key, ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]))
end
return answers
"""

# One script keeps Redis from everything else; this many questions take it about a millisecond.
QUESTIONS_PER_CALL: Final = 500


class RedisRates:
    def __init__(self, store: RedisStore, settings: RedisSettings) -> None:
        self._store = store
        self._script = store.script(TAKE)
        self.own = MemoryRates(settings.own_rates_limit)

    async def take(self, asked: Sequence[RateQuestion]) -> Sequence[int | None]:
        answers: list[int | None] = []
        for first in range(0, len(asked), QUESTIONS_PER_CALL):
            answers += await self._take_some(asked[first : first + QUESTIONS_PER_CALL])
        return answers

    async def give_back(self, unused: Sequence[RateQuestion]) -> None:
        self.own.give_back_now(unused)

        async def remove(redis: Redis) -> None:
            pipeline = redis.pipeline(transaction=False)
            for question in unused:
                pipeline.zrem(self._key(question), question.attempt)
            await pipeline.execute()

        with contextlib.suppress(RedisAway):  # then they count until their window has passed
            await self._store.call(remove)

    def _key(self, question: RateQuestion) -> str:
        return self._store.key("rate", question.action, question.subject)

    async def _take_some(self, asked: Sequence[RateQuestion]) -> Sequence[int | None]:
        keys = [self._key(question) for question in asked]
        args = [value for question in asked for value in (question.attempt, question.limit, question.period_ms)]
        try:
            waits: list[int] = await self._store.call(lambda _: self._script(keys, args))
        except RedisAway:
            return self.own.take_now(asked)
        return [None if wait_ms < 0 else wait_ms for wait_ms in waits]
