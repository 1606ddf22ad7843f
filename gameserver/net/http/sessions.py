"""Sessions: a refresh token buys access tokens, until its session is revoked."""

from typing import Final

from attrs import frozen

from gameserver.errors import Refused
from gameserver.net.http.answers import NewToken, time_of
from gameserver.net.http.bodies import Uuid
from gameserver.net.http.context import HttpContext
from gameserver.net.http.route import Call, Route
from gameserver.net.tokens import hashed


@frozen
class Refresh:
    refresh_token: str


async def refresh_session(context: HttpContext, call: Call) -> NewToken:
    asked: Refresh = call.body
    if not asked.refresh_token.isascii():
        raise Refused("refresh_token_invalid")
    session = await context.accounts.refresh(hashed(asked.refresh_token))
    if session is None:
        raise Refused("refresh_token_invalid")
    claims = context.tokens.claims(*session)
    return NewToken(Uuid(claims.player_id), context.tokens.issue(claims), time_of(claims.expires_at * 1_000))


async def revoke_session(context: HttpContext, call: Call) -> None:
    """The session of the token: no new tokens, and its sockets are closed. Repeating it changes nothing."""
    if call.claims is None:
        raise Refused("token_missing")
    await context.accounts.revoke(call.claims.session_id)
    context.sessions.close_session(call.claims.session_id)


ROUTES: Final = (
    Route("POST", "/sessions", refresh_session, "Get a new token", NewToken, body=Refresh, access="anyone"),
    Route("DELETE", "/sessions", revoke_session, "Revoke this session", None, status=204),
)
