"""The sessions of this node: by player, by login, and all of them."""

from collections.abc import Iterable, Iterator

import trio

from gameserver.cluster.ports import Presence
from gameserver.ids import Issuer
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.session import Outgoing, Session
from gameserver.turns import in_turns


class Sessions:
    def __init__(self, presence: Presence, issuer: Issuer) -> None:
        self._presence, self._issuer = presence, issuer
        self._connection_ids: dict[Session, str] = {}
        self._by_player: dict[str, tuple[Session, ...]] = {}
        self._wake = trio.Event()
        self._left = trio.lowlevel.ParkingLot()
        self.outgoing = Outgoing(self._wake_up)

    def __len__(self) -> int:
        return len(self._connection_ids)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._connection_ids)

    def add(self, session: Session) -> None:
        player = session.identified.player_id
        connection_id = self._connection_ids[session] = self._issuer.new_id()
        self._by_player[player] = (*self._by_player.get(player, ()), session)
        self._presence.connected(player, connection_id)

    def remove(self, session: Session) -> None:
        connection_id = self._connection_ids.pop(session, None)
        if connection_id is None:
            return
        player = session.identified.player_id
        others = tuple(other for other in self._by_player[player] if other is not session)
        if others:
            self._by_player[player] = others
        else:
            del self._by_player[player]
        self._presence.disconnected(player, connection_id)
        self._left.unpark_all()

    async def emptied(self) -> None:
        """Until nobody is connected any more."""
        while self._connection_ids:
            await self._left.park()

    def of_player(self, player_id: str) -> Iterable[Session]:
        return self._by_player.get(player_id, ())

    def players(self) -> list[str]:
        return list(self._by_player)

    def disconnect(self, player_id: str) -> int:
        """Close all connections of a player; gives their number."""
        sessions = list(self.of_player(player_id))
        for session in sessions:
            session.close(CloseCode.DISCONNECTED)
        return len(sessions)

    def close_session(self, session_id: str) -> None:
        """Close what was opened under a login that has been revoked."""
        for session in [each for each in self if each.identified.session_id == session_id]:
            session.close(CloseCode.SESSION_REVOKED)

    def broadcast(self, frames: bytes, players: Iterable[str] | None = None) -> Iterator[None]:
        """To all who are here when the walk begins; or, of these, to the players that are named."""
        named = self if players is None else (each for player_id in players for each in self.of_player(player_id))
        for session in list(named):
            session.queue(frames)
            yield

    def _wake_up(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Flush what was queued outside of a commit, once per turn of the event loop."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await in_turns(self.outgoing.flush_rest())
