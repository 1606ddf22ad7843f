"""What the handlers of the admin API work with."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import field, frozen

from gameserver.cluster.router import Router
from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.net.http.context import Readiness, Sessions
from gameserver.net.ports import Lists


@frozen
class AdminContext:
    """`let_back` is the journal's."""

    stats: Callable[[], Mapping[str, Any]]
    nodes: Callable[[], Mapping[str, Any]]
    drain: Callable[[str], bool]
    readiness: Readiness
    lists: Lists
    router: Router
    let_back: Callable[[str], Awaitable[bool]]
    sessions: Sessions
    settings: Settings
    token: str = field(repr=False)

    def authenticate(self, token: str | None) -> None:
        """Raises Refused: token_missing, token_invalid."""
        if not token:
            raise Refused("token_missing")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Refused("token_invalid")
