"""What a route is: everything that the app, the handler and the OpenAPI document have to know about it, said once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from attrs import frozen

from gameserver.errors import Refused
from gameserver.ids import IdempotencyKey, PlayerId
from gameserver.net.tokens import Claims

Access = Literal["token", "anyone", "probe"]
"""`token`: only with a valid one. `probe`: for anyone, and even when the server has more than enough to do."""


@frozen
class Nothing:
    """A body or a query without fields."""


@frozen
class Call:
    """A request whose token, IDs, query and body have been checked: what a handler gets to see of HTTP.

    `key` is the caller's Idempotency-Key together with the hash of what was asked; only with a token of a player.
    """

    claims: Claims | None
    ids: Mapping[str, str]
    query: Any
    body: Any
    idempotency_key: str | None
    request_hash: str

    @property
    def player_id(self) -> str:
        if self.claims is None:
            raise Refused("token_missing")
        return self.claims.player_id

    @property
    def key(self) -> IdempotencyKey | None:
        if self.idempotency_key is None:
            return None
        return IdempotencyKey(PlayerId(self.player_id), self.idempotency_key, self.request_hash)


@frozen
class Reply:
    """An answer with another status than the route's usual one."""

    status: int
    body: Any


Handler = Callable[[Any, Call], Awaitable[Any]]
"""Gets the app's context and the call; gives what `Route.answer` says, or raises Refused or JournalError."""


@frozen
class Route:
    """`path` has IDs in braces; each of them is a UUID. `answer` is what the handler gives: None for no body (204)."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handle: Handler
    summary: str
    answer: Any
    body: type = Nothing
    query: type = Nothing
    status: int = 200
    access: Access = "token"

    @property
    def name(self) -> str:
        return self.handle.__name__

    @property
    def unsafe(self) -> bool:
        return self.method != "GET"
