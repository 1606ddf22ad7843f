"""Players: signing up, and what they may read of themselves."""

from functools import partial
from time import time_ns
from typing import Final

from attrs import frozen

from gameserver.errors import Refused
from gameserver.ids import new_id
from gameserver.net.http.answers import Battle, NewPlayer, Player, player, time_of
from gameserver.net.http.battles import paging_of_battles
from gameserver.net.http.bodies import Uuid
from gameserver.net.http.context import HttpContext
from gameserver.net.http.idempotency import require_secret
from gameserver.net.http.names import checked_name
from gameserver.net.http.paging import Page, PageQuery
from gameserver.net.http.route import Call, Route
from gameserver.net.ports import PlayerRow
from gameserver.net.tokens import hashed

LARGEST_BIGINT: Final = 2**63 - 1


@frozen
class SignUp:
    """`telegram_id` is a note: it proves and reserves nothing."""

    username: str
    telegram_id: int | None = None


async def create_player(context: HttpContext, call: Call) -> NewPlayer:
    """Under an Idempotency-Key, as good as a password here, a retry gives the same player and refresh token."""
    require_secret(call.idempotency_key)
    asked: SignUp = call.body
    refresh_token = context.tokens.refresh_token(call.idempotency_key)
    row = await context.accounts.create_player(
        PlayerRow(
            id=new_id(),
            username=checked_name(asked.username, context.settings.guards.name_limit),
            telegram_id=_checked_telegram_id(asked.telegram_id),
            created_at_ms=time_ns() // 1_000_000,
        ),
        refresh_token_hash=hashed(refresh_token),
        creation_key_hash=hashed(call.idempotency_key) if call.idempotency_key else None,
        request_hash=call.request_hash,
    )
    session = await context.accounts.refresh(hashed(refresh_token))
    if session is None:  # only a retry, long after the first try: the session has been revoked or has expired
        raise Refused("refresh_token_invalid")
    claims = context.tokens.claims(row.id, session[1])
    return NewPlayer(
        id=Uuid(row.id),
        username=row.username,
        telegram_id=row.telegram_id,
        created_at=time_of(row.created_at_ms),
        token=context.tokens.issue(claims),
        token_expires_at=time_of(claims.expires_at * 1_000),
        refresh_token=refresh_token,
    )


async def read_me(context: HttpContext, call: Call) -> Player:
    row = await context.accounts.player(call.player_id)
    if row is None:
        raise Refused("player_not_found")
    return player(row, await context.accounts.achieved(call.player_id))


async def list_my_battles(context: HttpContext, call: Call) -> Page[Battle]:
    rows = partial(context.lists.battles, None, None, call.player_id)
    return await paging_of_battles(context).page(call.query, context.settings.http.page_limit, rows)


def _checked_telegram_id(telegram_id: int | None) -> int | None:
    if telegram_id is not None and not 1 <= telegram_id <= LARGEST_BIGINT:
        raise Refused("invalid_message", "telegram_id: expected a positive number of 63 bits")
    return telegram_id


ROUTES: Final = (
    Route("POST", "/players", create_player, "Sign up", NewPlayer, body=SignUp, status=201, access="anyone"),
    Route("GET", "/players/me", read_me, "The player that the token speaks for", Player),
    Route("GET", "/players/me/battles", list_my_battles, "The player's battles", Page[Battle], query=PageQuery),
)
