"""Everything that the handlers of the public API work with."""

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import frozen

from gameserver.cluster.creation import Creation
from gameserver.cluster.lifecycle import Lifecycle
from gameserver.cluster.ports import Leaderboards
from gameserver.cluster.router import Router
from gameserver.config import Settings
from gameserver.net.ports import Accounts, Lists
from gameserver.net.tokens import Tokens

Readiness = Callable[[], Sequence[str]]
"""Why this node should get no players now; nothing if it is ready. Quick, and never raises."""


class Sessions(Protocol):
    """The open WebSocket connections, of all nodes. Neither method blocks or raises."""

    def close_session(self, session_id: str) -> None:
        """Close the connections whose token belongs to this session: it has been revoked."""
        ...

    def disconnect(self, player_id: str) -> int:
        """Close all connections of a player, who may come back. Gives the number of those that this node had."""
        ...


@frozen
class HttpContext:
    accounts: Accounts
    lists: Lists
    creation: Creation
    lifecycle: Lifecycle
    router: Router
    leaderboards: Leaderboards
    tokens: Tokens
    settings: Settings
    modes: frozenset[str]
    readiness: Readiness
    websocket_url: Callable[[str], str | None]
    sessions: Sessions
