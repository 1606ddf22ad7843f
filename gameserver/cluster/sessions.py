"""The sessions of this node: by player, by login, and all of them."""

from collections.abc import Iterable, Iterator

import trio

from gameserver.cluster.ports import Presence
from gameserver.ids import new_id
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.session import Outgoing, Session


class Sessions:
    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._connection_ids: dict[Session, str] = {}
        self._by_player: dict[str, dict[Session, None]] = {}
        self._wake = trio.Event()
        self._left = trio.lowlevel.ParkingLot()
        self.outgoing = Outgoing(self._wake_up)

    def __len__(self) -> int:
        return len(self._connection_ids)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._connection_ids)

    def add(self, session: Session) -> None:
        player = session.identified.player_id
        connection_id = self._connection_ids[session] = new_id()
        self._by_player.setdefault(player, {})[session] = None
        self._presence.connected(player, connection_id)

    def remove(self, session: Session) -> None:
        connection_id = self._connection_ids.pop(session, None)
        if connection_id is None:
            return
        player = session.identified.player_id
        sessions = self._by_player[player]
        del sessions[session]
        if not sessions:
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

    def broadcast(self, frames: bytes) -> None:
        for session in self:
            session.queue(frames)

    def _wake_up(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Flush what was queued outside of a commit, once per turn of the event loop."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            self.outgoing.flush()
