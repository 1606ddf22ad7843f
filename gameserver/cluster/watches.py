"""Who watches which battle, and up to which event they have seen it.

Each watch has a position, the seq of the last event that was queued for it. A pass (see watch.py) sends only what lies
above it, so there is neither gap nor double between "here is the state at 41" and "here is event 42".

A watch that has missed something is held, and so are those of a client that does not keep up. Nothing is kept for them
but how far the battle has come. Each hold ends in the same way: what the watch is behind by is filled in (see
resumes.py), and then what has come meanwhile, until there is nothing any more.

When the last one has left a battle it is followed for a while: who has lost a connection comes back, and finds what was
missed in memory (see recent.py).

Watches outlive the actor's life, and its stay on a node: events come from the actors here, and from those of other
nodes (see watch_renewals.py). If some were never passed on, because they were lost between nodes, or landed in a commit
whose outcome was unknown, the watch has fallen behind, and they are read from the journal.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio

from gameserver.actors.ports import Committed
from gameserver.cluster.items import Events
from gameserver.cluster.recent import Recent
from gameserver.cluster.sessions import Sessions
from gameserver.cluster.watch import Pass, Watch
from gameserver.config import WebSocketSettings
from gameserver.errors import Refused
from gameserver.game.rules import Joined
from gameserver.protocol.frames import text_frames
from gameserver.protocol.session import Session
from gameserver.turns import Walk, strides

PASSED_AT_ONCE: Final = 100
"""Watches that one step of a pass goes over."""


Fill = Callable[[Watch], None]
"""Called with a watch that is behind and held from now on, until it was `filled`."""


def _nobody_cares(_battle_id: str) -> None:
    """On a node that stands alone, everybody hears of everything."""


class Watches:
    """One of the audience of all actors' commits (see actors/ports.py)."""

    def __init__(self, sessions: Sessions, limits: WebSocketSettings) -> None:
        self._sessions, self._limits = sessions, limits
        self._watches: dict[str, dict[Session, Watch]] = {}
        self._left: dict[str, float] = {}
        """Battles that nobody watches any more and that are still followed, each until when; the first ends first."""
        self._passes: dict[str, Pass] = {}
        self.recent = Recent(limits.recent_limit, limits.recent_limit_bytes)
        self._fill: Fill = Watch.hang_up
        self._begun: Callable[[str], None] = _nobody_cares

    def on_behind(self, fill: Fill) -> None:
        """Have `fill` get what a watch has missed; it never blocks."""
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
        return min(watch.reach for watch in watches.values())

    # -- watching -------------------------------------------------------------------------------------------------

    def watch(self, session: Session, battle_id: str, position: int, *, behind: int = 0) -> Watch:
        """From now on the session gets all events above `position`; an earlier watch of the session is replaced. If it
        is `behind`, what is up to there has to be `filled` in first.

        Raises Refused("too_many_watches").
        """
        if battle_id in session.watching:
            session.watching[battle_id].end()
        else:
            self._make_room(session)
        missed = behind > position
        watch = Watch(session, battle_id, position, behind, held=missed or session.congested, filling=missed)
        session.watching[battle_id] = watch
        watches = self._watches.setdefault(battle_id, {})
        watches[session] = watch
        if battle_id in self._passes:
            self._passes[battle_id].watches.append(watch)
        if len(watches) == 1:
            self._left.pop(battle_id, None)
            self.recent.begin(battle_id, watch.reach)
            self._begun(battle_id)
        return watch

    def give_up(self, watch: Watch) -> None:
        if watch.current:
            self._unwatch(watch.session, watch.battle_id)

    def leave(self, session: Session) -> None:
        for battle_id in list(session.watching):
            self._unwatch(session, battle_id)

    def _make_room(self, session: Session) -> None:
        if len(session.watching) < self._limits.watches_limit:
            return
        over = next((watch for watch in session.watching.values() if watch.over and not watch.held), None)
        if over is None:
            raise Refused("too_many_watches")
        self.give_up(over)

    def _unwatch(self, session: Session, battle_id: str) -> None:
        session.watching.pop(battle_id).end()
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

    # -- holding --------------------------------------------------------------------------------------------------

    def hold(self, session: Session) -> None:
        """Nothing for its watches any more, until the session has drained, and `go_on` is called."""
        for watch in session.watching.values():
            watch.held = True

    def go_on(self, session: Session) -> None:
        for watch in list(session.watching.values()):
            if not watch.filling:
                self._go_on(watch)

    def filled(self, watch: Watch, missed: bytes, up_to: int) -> None:
        """`missed` are the frames of all events above its position and `up_to` there, or what stands for them; empty if
        it knows already. A client that does not keep up by now gets them later, from wherever they are then."""
        watch.filling = False
        if not watch.current:
            return
        if not missed:
            watch.position = up_to
        elif not watch.session.congested:
            watch.position = up_to
            watch.session.queue(missed)
        self._go_on(watch)

    def _go_on(self, watch: Watch) -> None:
        """The end of a hold, unless there is a reason for another one."""
        watch.held = watch.session.congested
        if watch.behind > watch.position and not watch.held:
            self._fill_in(watch)

    def _fill_in(self, watch: Watch) -> None:
        watch.held = watch.filling = True
        self._fill(watch)

    # -- audience -------------------------------------------------------------------------------------------------

    def committed(self, batch: Committed) -> Walk:
        joined = batch.milestones and any(type(event) is Joined for _, event in batch.milestones)
        return self.pass_on(Events.of(batch)) if joined or self.followed(batch.actor_id) else ()

    def pass_on(self, events: Events) -> Walk:
        """What is durable of a battle, here or on another node; those who have seen it do not get it again.

        Where few watch, that is one step, and done when this returns.
        """
        battle_id = events.battle_id
        under_way = self._passes.get(battle_id)
        if under_way is None:
            if len(self._watches.get(battle_id, ())) <= PASSED_AT_ONCE:
                watches = self._present(events)
                self._give(events, self._frames(events), watches)
                return ()
            under_way = self._passes[battle_id] = Pass()
            under_way.walk = self._walk(battle_id, under_way)
        under_way.events.append(events)
        return under_way.go_along()

    def _walk(self, battle_id: str, under_way: Pass) -> Iterator[None]:
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
        frames = self._frames(events)
        for some in strides(watches, PASSED_AT_ONCE):
            self._give(events, frames, some)
            yield

    def _frames(self, events: Events) -> bytes:
        """For everybody; and the lines, for those who come back."""
        if self.followed(events.battle_id):
            self.recent.note(events.battle_id, events.first_seq, events.lines)
        return text_frames(events.lines)

    def _give(self, events: Events, frames: bytes, watches: Sequence[Watch]) -> None:
        """The hottest loop of a node: once per connection, battle and commit."""
        before, last = events.first_seq - 1, events.seq
        for watch in watches:
            if watch.position == before and frames and not watch.held:
                watch.position = last
                watch.session.queue(frames)
            else:
                self._give_rest(watch, events)
        if events.finished:
            for watch in watches:
                watch.over = True

    def _give_rest(self, watch: Watch, events: Events) -> None:
        """To one who has missed something, or seen some of it already."""
        before, last = events.first_seq - 1, events.seq
        if watch.held:
            watch.behind = max(watch.behind, last)
        elif watch.position < before:
            watch.behind = last
            self._fill_in(watch)
        elif watch.position < last:
            watch.session.queue(text_frames(events.lines[watch.position - before :]))
            watch.position = last

    def begin(self) -> None:
        self._sessions.outgoing.hold()

    def flush(self) -> Walk:
        return self._sessions.outgoing.flush()

    def subscribe(self, battle_id: str, player_id: str, position: int) -> None:
        """Joining, by whatever way, subscribes all connections of the player."""
        for session in self._sessions.of_player(player_id):
            if battle_id in session.watching:
                continue
            try:
                self.watch(session, battle_id, position)
            except Refused as refused:
                session.refuse(None, refused)
