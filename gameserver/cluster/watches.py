"""Who watches which battle, and up to which event they have seen it.

Each watch has a position, the seq of the last event that was queued for it. A pass sends only what lies above it, so
there is neither gap nor double between "here is the state at 41" and "here is event 42". While missed events are read
from the journal the watch is held: what comes meanwhile waits, bounded, behind them.

Watches outlive the actor's life: when a battle was restored, its next events just follow.
"""

from attrs import define

from gameserver.actors.ports import Committed
from gameserver.cluster.sessions import Sessions
from gameserver.config import WebSocketSettings
from gameserver.errors import Refused
from gameserver.game.battle import Finished
from gameserver.game.rules import Joined
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from gameserver.protocol.session import Session


@define(eq=False)
class Watch:
    session: Session
    position: int
    held: list[bytes] | None = None
    over: bool = False


class Watches:
    """The audience of all actors' commits (see actors/ports.py)."""

    def __init__(self, sessions: Sessions, limits: WebSocketSettings) -> None:
        self._sessions, self._limits = sessions, limits
        self._watches: dict[str, dict[Session, Watch]] = {}

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    # -- watching -------------------------------------------------------------------------------------------------

    def watch(self, session: Session, battle_id: str, position: int, *, held: bool = False) -> Watch:
        """From now on the session gets all events above `position`; one that watches already goes on as it was.

        Raises Refused("too_many_watches").
        """
        known: Watch | None = session.watching.get(battle_id)
        if known is not None and not held:
            return known
        if known is None:
            self._make_room(session)
        watch = Watch(session, position, [] if held else None)
        session.watching[battle_id] = watch
        self._watches.setdefault(battle_id, {})[session] = watch
        return watch

    def release(self, watch: Watch, missed: list[bytes]) -> None:
        """Send the missed events, then what was held behind them."""
        held, watch.held = watch.held or [], None
        for frames in (*missed, *held):
            watch.session.queue(frames)

    def leave(self, session: Session) -> None:
        for battle_id in list(session.watching):
            self._unwatch(session, battle_id)

    def _make_room(self, session: Session) -> None:
        if len(session.watching) < self._limits.watches_limit:
            return
        over = next((battle_id for battle_id, watch in session.watching.items() if watch.over), None)
        if over is None:
            raise Refused("too_many_watches")
        self._unwatch(session, over)

    def _unwatch(self, session: Session, battle_id: str) -> None:
        del session.watching[battle_id]
        watches = self._watches[battle_id]
        del watches[session]
        if not watches:
            del self._watches[battle_id]

    # -- audience -------------------------------------------------------------------------------------------------

    def committed(self, batch: Committed) -> None:
        for seq, event in enumerate(batch.events, batch.first_seq):
            if type(event) is Joined:
                self._subscribe(batch.actor_id, event.player_id, seq - 1)
        watches = self._watches.get(batch.actor_id)
        if watches is None:
            return
        frames = [text_frame(line) for line in batch.lines]
        joined = b"".join(frames)
        before, last = batch.first_seq - 1, batch.seq
        for watch in watches.values():
            if watch.position == before:
                self._pass(watch, joined)
            elif watch.position < last:
                assert watch.position > before, f"{batch.actor_id}: events after {watch.position} were never seen"
                self._pass(watch, b"".join(frames[watch.position - before :]))
            else:
                continue
            watch.position = last
        if any(type(event) is Finished for event in batch.events):
            for watch in watches.values():
                watch.over = True

    def flush(self) -> None:
        self._sessions.outgoing.flush()

    def _pass(self, watch: Watch, frames: bytes) -> None:
        if watch.held is None:
            watch.session.queue(frames)
        elif len(watch.held) < self._limits.held_limit:
            watch.held.append(frames)
        else:
            watch.session.close(CloseCode.SLOW_CONSUMER)

    def _subscribe(self, battle_id: str, player_id: str, position: int) -> None:
        """Joining, by whatever way, subscribes all connections of the player."""
        for session in self._sessions.of_player(player_id):
            try:
                self.watch(session, battle_id, position)
            except Refused as refused:
                session.refuse(None, refused)
