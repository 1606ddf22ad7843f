"""The sessions of all nodes, as far as they can be closed from any of them."""

from gameserver.cluster.items import LoginRevoked, PlayerDisconnected
from gameserver.cluster.links import Links
from gameserver.cluster.sessions import Sessions


class AllSessions:
    """Closes at once here, and a moment later on the other nodes; those that cannot be reached then keep theirs."""

    def __init__(self, here: Sessions, links: Links) -> None:
        self._here, self._links = here, links
        links.on(LoginRevoked, self._revoked)
        links.on(PlayerDisconnected, self._disconnected)

    def close_session(self, session_id: str) -> None:
        self._here.close_session(session_id)
        self._links.broadcast(LoginRevoked(session_id))

    def disconnect(self, player_id: str) -> int:
        """The number of connections that were closed here."""
        self._links.broadcast(PlayerDisconnected(player_id))
        return self._here.disconnect(player_id)

    def _revoked(self, _: str, revoked: LoginRevoked) -> None:
        self._here.close_session(revoked.session_id)

    def _disconnected(self, _: str, disconnected: PlayerDisconnected) -> None:
        self._here.disconnect(disconnected.player_id)
