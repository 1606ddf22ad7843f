"""What follows from a battle's creation and end, outside of the battle: consumers of outbox rows, and what the other
nodes are told of it."""

import structlog
import trio

from gameserver.cluster.items import BattleCreated
from gameserver.cluster.links import Links
from gameserver.cluster.ports import Facts, Leaderboards, News
from gameserver.cluster.sessions import Sessions
from gameserver.codec import encode
from gameserver.config import ClusterSettings
from gameserver.errors import JournalError
from gameserver.protocol.frames import text_frame
from gameserver.turns import in_turns

log = structlog.get_logger()


class Announcements:
    """Consumers may see a row twice: a client may be told of the same battle again, a score counts once."""

    def __init__(
        self, sessions: Sessions, facts: Facts, leaderboards: Leaderboards, links: Links, settings: ClusterSettings
    ) -> None:
        self._sessions, self._facts, self._leaderboards, self._links = sessions, facts, leaderboards, links
        self._created, self._to_tell = trio.open_memory_channel[BattleCreated](settings.announcements_limit)
        links.on(BattleCreated, self._heard)

    async def battle_created(self, news: News) -> None:
        payload = news.payload
        created = BattleCreated(news.actor_id, (payload["attacker"], payload["defender"]), dict(payload))
        self._links.broadcast(created)
        await self._tell(created)

    async def battle_finished(self, news: News) -> None:
        score = news.payload
        await self._leaderboards.record(score["battle_id"], score["group_id"], score["score"], score["finished_at_ms"])

    async def run(self) -> None:
        """Tell of what other nodes have announced."""
        async for created in self._to_tell:
            try:
                await self._tell(created)
            except JournalError as error:  # the members find the battle in the list
                log.warning("announcement.failed", battle=created.battle_id, error=str(error))

    def _heard(self, _: str, created: BattleCreated) -> None:
        try:
            self._created.send_nowait(created)
        except trio.WouldBlock:  # as above
            log.warning("announcement.dropped", battle=created.battle_id)

    async def _tell(self, created: BattleCreated) -> None:
        """Tell the connected members of both groups. Not part of the battle's stream, so without a seq."""
        players = self._sessions.players()
        if not players:
            return
        members = await self._facts.members_among(created.groups, players)
        frame = text_frame(encode({"event": "battle:created", "payload": created.payload}))
        await in_turns(self._sessions.broadcast(frame, members))
