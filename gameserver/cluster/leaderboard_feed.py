"""The leaderboard that everybody sees: greeted with it, and told of changes, at most once per interval."""

from collections.abc import Sequence

import structlog

from gameserver.beats import next_beat
from gameserver.cluster.ports import Leaderboards, Standing
from gameserver.cluster.sessions import Sessions
from gameserver.codec import encode
from gameserver.config import LeaderboardSettings
from gameserver.errors import JournalError
from gameserver.protocol.frames import text_frame
from gameserver.turns import in_turns

log = structlog.get_logger()


class LeaderboardFeed:
    """`latest` is the frame with the newest standings that are known; `run` keeps it so."""

    def __init__(self, leaderboards: Leaderboards, sessions: Sessions, settings: LeaderboardSettings) -> None:
        self._leaderboards, self._sessions, self._settings = leaderboards, sessions, settings
        self.latest = _frame([])

    async def run(self) -> None:
        """Looks at the standings in every interval, since time alone changes them: scores slide out of the window."""
        while True:
            await self._refresh()
            await next_beat(self._settings.push_interval_ms / 1000)

    async def _refresh(self) -> None:
        try:
            frame = _frame(await self._leaderboards.top("24h", self._settings.top))
        except JournalError as error:
            log.warning("leaderboard.unavailable", error=str(error))
            return
        if frame != self.latest:
            self.latest = frame
            await in_turns(self._sessions.broadcast(frame))


def _frame(standings: Sequence[Standing]) -> bytes:
    payload = [{"rank": s.rank, "groupId": s.group_id, "name": s.name, "score": s.score} for s in standings]
    return text_frame(encode({"event": "leaderboard", "payload": payload}))
