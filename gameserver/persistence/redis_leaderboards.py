"""Leaderboards: answered by Redis, by PostgreSQL while Redis cannot, and the same by both.

`redis_board.py` holds the data and its invariants; here is how it becomes and stays true to `battle_scores`:

- `record` counts a battle when its news comes, in the order in which the news comes; any order gives the same board.
- `run` reconciles: it reads the scores since the board's checkpoint, minus an overlap for commits that came in out of
  order, and records them again, which changes nothing for those that are counted. The checkpoint lives with the data,
  so this also mends a Redis that was restored from an older dump, whichever node finds it.
- Where reconciling cannot be enough (nothing there, a checkpoint before the horizon, a late score), a new generation is
  built: totals up to the horizon, then entry by entry; published when complete; and reconciled, for what was committed
  meanwhile. One node builds, the others wait; until then PostgreSQL answers.

Failure: a build that fails half-way is left to expire. A score that comes later than everything that is kept (an hour,
or the window if that is longer) costs a build.
"""

from collections.abc import Sequence
from typing import Final, Literal

import structlog
import trio

from gameserver.actors.ports import Clock
from gameserver.cluster.ports import Standing
from gameserver.config import LeaderboardSettings
from gameserver.errors import JournalError, Refused
from gameserver.ids import new_id
from gameserver.persistence.postgres_leaderboards import (
    FIRST_ID,
    LAST_ID,
    PostgresLeaderboards,
    Score,
    ranked,
)
from gameserver.persistence.redis_board import RedisBoard, Span, span_at
from gameserver.persistence.redis_store import RedisAway, RedisStore

log = structlog.get_logger()

PARTS: Final[dict[str, Literal["all", "window"]]] = {"24h": "window", "all": "all"}
PAGE_ROWS: Final = 500
OVERLAP_MS: Final = 600_000
LEAST_PAUSE_S: Final = 0.1


class RedisLeaderboards:
    """`run` has to run; without it nothing is ever built, and PostgreSQL answers everything."""

    def __init__(
        self, store: RedisStore, postgres: PostgresLeaderboards, clock: Clock, settings: LeaderboardSettings
    ) -> None:
        self._postgres, self._clock, self._settings = postgres, clock, settings
        self._board = RedisBoard(store, settings.window_ms)
        self._wake = trio.Event()
        self._failing = False
        self.answered_by_postgres = 0
        self.builds = 0
        store.on_renewal(self._look_again)

    async def top(self, window: str, limit: int) -> Sequence[Standing]:
        part = PARTS.get(window)
        if part is None:
            raise Refused("invalid_message", f"window: expected one of {', '.join(PARTS)}")
        span = self._span()
        try:
            totals = await self._board.top(part, span, limit)
        except RedisAway:
            totals = None
        else:
            if totals is None:
                self._look_again()
        if totals is not None:
            return ranked(totals)
        self.answered_by_postgres += 1
        return await self._postgres.top(span.cut_ms if part == "window" else 0, limit)

    async def record(self, battle_id: str, group_id: str, score: int, finished_at_ms: int) -> None:
        name = await self._postgres.group_name(group_id)
        if name is None:
            return  # no board would show it; when the group is there, reconciling finds the score
        scores = [Score(battle_id, group_id, name, score, finished_at_ms)]
        try:
            answer = await self._board.record("", self._span(), scores)
        except RedisAway:
            return  # when it is back, reconciling finds the score
        if answer != "recorded":
            self._look_again()

    async def run(self) -> None:
        """Reconcile until cancelled; at once when Redis came back or was found empty."""
        while True:
            self._wake = trio.Event()
            await self._look()
            await trio.sleep(LEAST_PAUSE_S)
            with trio.move_on_after(self._settings.reconcile_interval_ms / 1_000):
                await self._wake.wait()

    def _look_again(self) -> None:
        self._wake.set()

    def _span(self) -> Span:
        return span_at(self._clock.now_ms(), self._settings.window_ms)

    async def _look(self) -> None:
        """One pass. What fails now is tried again by the next."""
        try:
            if not await self._reconcile() and await self._build():
                await self._reconcile()
            self._failing = False
        except RedisAway:
            return  # the store has said so, and wakes us
        except JournalError as error:
            if not self._failing:
                log.warning("leaderboards.not_reconciled", error=str(error))
            self._failing = True

    async def _reconcile(self) -> bool:
        """Record what was committed since the checkpoint. False if only a new generation can be right."""
        state, now_ms = await self._board.state(), self._clock.now_ms()
        if state is None or state.late or state.checkpoint_ms - OVERLAP_MS < state.horizon_ms:
            return False
        span = span_at(now_ms, self._settings.window_ms)
        if not await self._record_since(state.generation, span, state.checkpoint_ms - OVERLAP_MS):
            return False
        await self._board.reached(state.generation, now_ms)
        return True

    async def _build(self) -> bool:
        """Build a generation and let it count. False if another node is building, or if Redis was emptied meanwhile."""
        now_ms, generation = self._clock.now_ms(), new_id()
        span = span_at(now_ms, self._settings.window_ms)
        if not await self._board.begin(generation, span, now_ms):
            return False
        complete = await self._load_totals(generation, span) and await self._record_since(
            generation, span, span.horizon_ms, building=True
        )
        if not complete or await self._board.publish(generation) != "recorded":
            return False
        self.builds += 1
        log.info("leaderboards.built", generation=generation)
        return True

    async def _load_totals(self, generation: str, span: Span) -> bool:
        group_id = FIRST_ID
        while totals := await self._postgres.totals_until(span.horizon_ms, group_id, PAGE_ROWS):
            if await self._board.load(generation, totals) != "recorded":
                return False
            group_id = totals[-1].group_id
        return True

    async def _record_since(self, generation: str, span: Span, after_ms: int, *, building: bool = False) -> bool:
        """Record every score finished later than `after_ms`. False if the generation is gone, or one was late."""
        battle_id = LAST_ID
        while scores := await self._postgres.scores_after(after_ms, battle_id, PAGE_ROWS):
            if await self._board.record(generation, span, scores) != "recorded":
                return False
            if building:
                await self._board.load(generation)
            after_ms, battle_id = scores[-1].finished_at_ms, scores[-1].battle_id
        return True
