"""What follows from a battle's creation and end, outside of the battle: consumers of outbox rows."""

from attrs import frozen

from gameserver.cluster.ports import Facts, Leaderboards, News
from gameserver.cluster.sessions import Sessions
from gameserver.codec import encode
from gameserver.protocol.frames import text_frame


@frozen
class Announcements:
    """Both consumers may see a row twice: a client may be told of the same battle again, a score counts once."""

    sessions: Sessions
    facts: Facts
    leaderboards: Leaderboards

    async def battle_created(self, news: News) -> None:
        """Tell the connected members of both groups. Not part of the battle's stream, so without a seq."""
        groups = [news.payload["attacker"], news.payload["defender"]]
        members = await self.facts.members_among(groups, self.sessions.players())
        frame = text_frame(encode({"event": "battle:created", "payload": news.payload}))
        for player_id in members:
            for session in self.sessions.of_player(player_id):
                session.queue(frame)

    async def battle_finished(self, news: News) -> None:
        score = news.payload
        await self.leaderboards.record(score["battle_id"], score["group_id"], score["score"], score["finished_at_ms"])
