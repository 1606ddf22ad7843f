"""Who watches which battle, and up to which event they have seen it.

Each watch has a position, the seq of the last event that was queued for it. A pass sends only what lies above it, so
there is neither gap nor double between "here is the state at 41" and "here is event 42". While missed events are read
from the journal the watch is held: what comes meanwhile waits, bounded, behind them.

Watches outlive the actor's life. When a battle was restored, its next events just follow; if some landed that were
never passed on (a commit whose outcome was unknown), the watch has fallen behind, and they are read from the journal.
"""

from collections.abc import Callable

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
    battle_id: str
    position: int
    held: list[bytes] | None = None
    over: bool = False

    @property
    def current(self) -> bool:
        """False once it was replaced or given up."""
        return self.session.watching.get(self.battle_id) is self


Behind = Callable[[Watch, int, int], None]
"""Called with a watch that is held from now on, and has missed the events above the first and up to the second seq."""


def _hang_up(watch: Watch, _after: int, _up_to: int) -> None:
    watch.session.close(CloseCode.MISSED_EVENTS)


class Watches:
    """The audience of all actors' commits (see actors/ports.py)."""

    def __init__(self, sessions: Sessions, limits: WebSocketSettings) -> None:
        self._sessions, self._limits = sessions, limits
        self._watches: dict[str, dict[Session, Watch]] = {}
        self._fill: Behind = _hang_up

    def on_behind(self, fill: Behind) -> None:
        """Have `fill` get what a watch has missed, and release it; it never blocks."""
        self._fill = fill

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    # -- watching -------------------------------------------------------------------------------------------------

    def watch(self, session: Session, battle_id: str, position: int, *, held: bool = False) -> Watch:
        """From now on the session gets all events above `position`; an earlier watch of the session is replaced.

        Raises Refused("too_many_watches").
        """
        if battle_id not in session.watching:
            self._make_room(session)
        watch = Watch(session, battle_id, position, [] if held else None)
        session.watching[battle_id] = watch
        self._watches.setdefault(battle_id, {})[session] = watch
        return watch

    def release(self, watch: Watch, missed: list[bytes]) -> None:
        """Send the missed events, then what was held behind them; nothing if another watch has taken its place."""
        held, watch.held = watch.held or [], None
        if not watch.current:
            return
        for frames in (*missed, *held):
            watch.session.queue(frames)

    def give_up(self, watch: Watch) -> None:
        if watch.current:
            self._unwatch(watch.session, watch.battle_id)

    def leave(self, session: Session) -> None:
        for battle_id in list(session.watching):
            self._unwatch(session, battle_id)

    def _make_room(self, session: Session) -> None:
        if len(session.watching) < self._limits.watches_limit:
            return
        over = next((watch for watch in session.watching.values() if watch.over and watch.held is None), None)
        if over is None:
            raise Refused("too_many_watches")
        self.give_up(over)

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
        for watch in tuple(watches.values()):
            if watch.position < before:
                self._catch_up(watch, before)
            if watch.position < last:
                self._pass(watch, joined if watch.position == before else b"".join(frames[watch.position - before :]))
                watch.position = last
        if any(type(event) is Finished for event in batch.events):
            for watch in watches.values():
                watch.over = True

    def flush(self) -> None:
        self._sessions.outgoing.flush()

    def _catch_up(self, watch: Watch, up_to: int) -> None:
        after, watch.position = watch.position, up_to
        if watch.held is None:
            watch.held = []
            self._fill(watch, after, up_to)
        else:  # it is catching up already, and what it waits for will not do
            watch.session.close(CloseCode.MISSED_EVENTS)

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
            if battle_id in session.watching:
                continue
            try:
                self.watch(session, battle_id, position)
            except Refused as refused:
                session.refuse(None, refused)
