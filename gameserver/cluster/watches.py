"""Who watches which battle, and up to which event they have seen it.

Each watch has a position, the seq of the last event that was queued for it. A pass sends only what lies above it, so
there is neither gap nor double between "here is the state at 41" and "here is event 42". While missed events are read
from the journal the watch is held: what comes meanwhile waits, bounded, behind them. If that has a gap, too, it is not
kept, and the journal is asked again.

A pass is a walk in turns over all who watch (see turns.py). A battle has one at a time: what comes while it pauses is
passed on behind it, and who begins to watch then comes last in it. Watches that end or are replaced on the way are left
out. Whoever has brought events walks until all are passed on, so that a cancelled walk loses none of somebody else's.

When the last one has left a battle it is followed for a while: who has lost a connection comes back, and finds what was
missed in memory (see recent.py).

Watches outlive the actor's life, and its stay on a node: events come from the actors here, and from those of other
nodes (see watch_renewals.py). If some were never passed on, because they were lost between nodes, or landed in a commit
whose outcome was unknown, the watch has fallen behind, and they are read from the journal.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio
from attrs import Factory, define

from gameserver.actors.ports import Committed
from gameserver.cluster.items import Events
from gameserver.cluster.recent import Recent
from gameserver.cluster.sessions import Sessions
from gameserver.config import WebSocketSettings
from gameserver.errors import Refused
from gameserver.game.rules import Joined
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame
from gameserver.protocol.session import Session
from gameserver.turns import Walk, at_once, strides

PASSED_AT_ONCE: Final = 100
"""Watches that one step of a pass goes over."""


@define(eq=False)
class Watch:
    session: Session
    battle_id: str
    position: int
    held: list[bytes] | None = None
    behind: int = 0
    over: bool = False
    current: bool = True
    """False once it was replaced or given up."""


@define(eq=False)
class _Pass:
    """Who has something to pass on takes part in its walk, until all `events` are passed on; `watches` get the present
    ones, and may become more."""

    events: deque[Events] = Factory(deque)
    watches: list[Watch] = Factory(list)
    walk: Iterator[None] = Factory(lambda: iter(()))
    walkers: int = 0


Behind = Callable[[Watch, int, int], None]
"""Called with a watch that is held from now on, and has missed the events above the first and up to the second seq."""


def _nobody_cares(_battle_id: str) -> None:
    """On a node that stands alone, everybody hears of everything."""


def _hang_up(watch: Watch, _after: int, _up_to: int) -> None:
    watch.session.close(CloseCode.MISSED_EVENTS)


def _go_along(under_way: _Pass) -> Iterator[None]:
    """Not `yield from`: that would end the walk for the others, too, when ours is cancelled."""
    under_way.walkers += 1
    try:
        for _ in under_way.walk:
            yield
    finally:
        under_way.walkers -= 1
        if not under_way.walkers:  # nobody else goes on with what is left
            at_once(under_way.walk)


class Watches:
    """One of the audience of all actors' commits (see actors/ports.py)."""

    def __init__(self, sessions: Sessions, limits: WebSocketSettings) -> None:
        self._sessions, self._limits = sessions, limits
        self._watches: dict[str, dict[Session, Watch]] = {}
        self._left: dict[str, float] = {}
        """Battles that nobody watches any more and that are still followed, each until when; the first ends first."""
        self._passes: dict[str, _Pass] = {}
        self.recent = Recent(limits.recent_limit, limits.recent_limit_bytes)
        self._fill: Behind = _hang_up
        self._begun: Callable[[str], None] = _nobody_cares

    def on_behind(self, fill: Behind) -> None:
        """Have `fill` get what a watch has missed, and release it; it never blocks."""
        self._fill = fill

    def on_first(self, begun: Callable[[str], None]) -> None:
        """Have `begun` called with a battle that somebody here watches from now on, and nobody did before."""
        self._begun = begun

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    def followed(self, battle_id: str) -> bool:
        """Whether somebody watches it, or did a moment ago."""
        return battle_id in self._watches or battle_id in self._left

    def battles(self) -> list[str]:
        """Those that are followed."""
        return [*self._watches, *self._left]

    def over(self, battle_id: str) -> bool:
        """Whether all who watch here know that the battle has been finished."""
        watches = self._watches.get(battle_id)
        return watches is not None and all(watch.over for watch in watches.values())

    def seen_seq(self, battle_id: str) -> int | None:
        """What all who watch here have seen, or are about to; None if it is not followed."""
        watches = self._watches.get(battle_id)
        if watches is None:
            return self.recent.last_seq(battle_id) if battle_id in self._left else None
        return min(watch.position for watch in watches.values())

    # -- watching -------------------------------------------------------------------------------------------------

    def watch(self, session: Session, battle_id: str, position: int, *, held: bool = False) -> Watch:
        """From now on the session gets all events above `position`; an earlier watch of the session is replaced.

        Raises Refused("too_many_watches").
        """
        if battle_id in session.watching:
            session.watching[battle_id].current = False
        else:
            self._make_room(session)
        watch = Watch(session, battle_id, position, [] if held else None)
        session.watching[battle_id] = watch
        watches = self._watches.setdefault(battle_id, {})
        watches[session] = watch
        if battle_id in self._passes:
            self._passes[battle_id].watches.append(watch)
        if len(watches) == 1:
            self._left.pop(battle_id, None)
            self.recent.begin(battle_id, position)
            self._begun(battle_id)
        return watch

    def release(self, watch: Watch, missed: list[bytes]) -> None:
        """Send the missed events, then what was held behind them; nothing if another watch has taken its place."""
        held, watch.held = watch.held or [], None
        if not watch.current:
            return
        for frames in (*missed, *held):
            watch.session.queue(frames)
        if watch.behind > watch.position:
            self._catch_up(watch, watch.behind)

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
        session.watching.pop(battle_id).current = False
        watches = self._watches[battle_id]
        del watches[session]
        if not watches:
            del self._watches[battle_id]
            self._left[battle_id] = trio.current_time() + self._limits.follow_ms / 1000
            if len(self._left) > self._limits.followed_limit:
                self._let_go(next(iter(self._left)))

    def let_go(self) -> None:
        """Those that nobody has come back to for long enough are not followed any more."""
        while self._left:
            battle_id, until = next(iter(self._left.items()))
            if until > trio.current_time():
                break
            self._let_go(battle_id)

    def _let_go(self, battle_id: str) -> None:
        del self._left[battle_id]
        self.recent.forget(battle_id)

    # -- audience -------------------------------------------------------------------------------------------------

    def committed(self, batch: Committed) -> Walk:
        if self.followed(batch.actor_id) or any(type(event) is Joined for event in batch.events):
            return self.pass_on(Events.of(batch))
        return ()

    def pass_on(self, events: Events) -> Walk:
        """What is durable of a battle, here or on another node; those who have seen it do not get it again.

        Where few watch, that is one step, and done when this returns.
        """
        battle_id = events.battle_id
        under_way = self._passes.get(battle_id)
        if under_way is None:
            if len(self._watches.get(battle_id, ())) <= PASSED_AT_ONCE:
                at_once(self._pass(events, self._present(events)))
                return ()
            under_way = self._passes[battle_id] = _Pass()
            under_way.walk = self._walk(battle_id, under_way)
        under_way.events.append(events)
        return _go_along(under_way)

    def _walk(self, battle_id: str, under_way: _Pass) -> Iterator[None]:
        try:
            while under_way.events:
                events = under_way.events.popleft()
                under_way.watches = self._present(events)
                yield from self._pass(events, under_way.watches)
        finally:
            del self._passes[battle_id]

    def _present(self, events: Events) -> list[Watch]:
        """All who watch the battle, with those who have joined by these events."""
        for seq, player_id in events.joined:
            self.subscribe(events.battle_id, player_id, seq - 1)
        return list(self._watches.get(events.battle_id, {}).values())

    def _pass(self, events: Events, watches: Sequence[Watch]) -> Iterator[None]:
        if self.followed(events.battle_id):
            self.recent.note(events.battle_id, events.first_seq, events.lines)
        frames = [text_frame(line) for line in events.lines]
        joined = b"".join(frames)
        before, last, finished = events.first_seq - 1, events.seq, events.finished
        for some in strides(watches, PASSED_AT_ONCE):
            for watch in some:
                if not watch.current:  # any more
                    continue
                if finished:
                    watch.over = True
                if watch.held is not None and (watch.behind or watch.position < before):
                    watch.behind = max(watch.behind, last)
                    continue
                if watch.position < before:
                    self._catch_up(watch, before)
                if watch.position < last:
                    missed = watch.position - before
                    self._send(watch, b"".join(frames[missed:]) if missed else joined)
                    watch.position = last
            yield

    def flush(self) -> Walk:
        return self._sessions.outgoing.flush()

    def _catch_up(self, watch: Watch, up_to: int) -> None:
        after, watch.position = watch.position, up_to
        watch.held, watch.behind = [], 0
        self._fill(watch, after, up_to)

    def _send(self, watch: Watch, frames: bytes) -> None:
        if watch.held is None:
            watch.session.queue(frames)
        elif len(watch.held) < self._limits.held_limit:
            watch.held.append(frames)
        else:
            watch.session.close(CloseCode.SLOW_CONSUMER)

    def subscribe(self, battle_id: str, player_id: str, position: int) -> None:
        """Joining, by whatever way, subscribes all connections of the player."""
        for session in self._sessions.of_player(player_id):
            if battle_id in session.watching:
                continue
            try:
                self.watch(session, battle_id, position)
            except Refused as refused:
                session.refuse(None, refused)
