"""The best groups, by what their finished battles scored."""

from typing import Final, Literal

from attrs import frozen

from gameserver.errors import Refused
from gameserver.net.http.answers import Place
from gameserver.net.http.bodies import Uuid
from gameserver.net.http.context import HttpContext
from gameserver.net.http.route import Call, Route


@frozen
class LeaderboardQuery:
    window: Literal["24h", "all"] = "24h"
    limit: int | None = None


async def read_leaderboard(context: HttpContext, call: Call) -> list[Place]:
    asked: LeaderboardQuery = call.query
    limit = context.settings.leaderboard.top if asked.limit is None else asked.limit
    if limit < 1:
        raise Refused("invalid_message", "limit: expected a number from 1")
    standings = await context.leaderboards.top(asked.window, min(limit, context.settings.http.page_limit))
    return [Place(each.rank, Uuid(each.group_id), each.name, each.score) for each in standings]


ROUTES: Final = (
    Route("GET", "/leaderboards", read_leaderboard, "The best groups", list[Place], query=LeaderboardQuery),
)
