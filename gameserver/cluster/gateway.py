"""What sessions can ask of the node: commands on their way to actors, and watching battles."""

from contextlib import suppress
from functools import partial

from gameserver.actors.messages import Message, Play, Show
from gameserver.actors.ports import Accepted, Answer, Clock, Reply, Shown
from gameserver.cluster.leaderboard_feed import LeaderboardFeed
from gameserver.cluster.lifecycle import Lifecycle, LifecycleCall
from gameserver.cluster.resumes import Resume, Resumes, with_state
from gameserver.cluster.router import Router
from gameserver.cluster.sessions import Sessions
from gameserver.cluster.watches import Watches
from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.ids import CommandId
from gameserver.protocol.session import Change, Session
from gameserver.turns import trio_clock


class NodeGateway:
    """Implements protocol/session.py's Gateway."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        lifecycle: Lifecycle,
        sessions: Sessions,
        watches: Watches,
        resumes: Resumes,
        feed: LeaderboardFeed,
        clock: Clock,
    ) -> None:
        self._settings, self._router, self._lifecycle = settings, router, lifecycle
        self._sessions, self._watches, self._resumes = sessions, watches, resumes
        self._feed, self._clock = feed, clock
        self._deadline_s = settings.actors.command_deadline_ms / 1000
        self._now_s = trio_clock()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def opened(self, session: Session) -> None:
        self._sessions.add(session)
        identified = session.identified
        payload = {
            "playerId": identified.player_id,
            "instance": identified.instance,
            "node": self._settings.node.name,
            "serverTimeMs": self._clock.now_ms(),
        }
        session.send_json({"event": "hello", "payload": payload})
        session.queue(self._feed.latest)

    def closed(self, session: Session) -> None:
        self._watches.leave(session)
        self._sessions.remove(session)

    def congested(self, session: Session) -> None:
        self._watches.hold(session)

    def drained(self, session: Session) -> None:
        self._watches.go_on(session)

    def play(self, session: Session, number: int, battle_id: str, event: str, payload: bytes) -> None:
        identified = session.identified
        player_id = identified.player_id
        command, identity = Play(event, payload, player_id), CommandId(player_id, identified.instance, number)
        expires_at = self._now_s() + self._deadline_s
        self._router.send(Message(battle_id, command, session.expect(number), expires_at, identity))

    def change(self, session: Session, number: int, battle_id: str, what: Change) -> None:
        identified = session.identified
        identity = CommandId(identified.player_id, identified.instance, number)
        reply = session.expect(number)
        if what == "join":
            reply = partial(self._joined, session, battle_id, reply)
        self._lifecycle.submit(LifecycleCall(what, battle_id, identified.player_id, identity, reply))

    def _joined(self, session: Session, battle_id: str, reply: Reply, answer: Answer) -> None:
        """Whoever is told of having joined gets the events, also when the seat was taken unbeknown to us."""
        if isinstance(answer, Accepted) and not session.closed and battle_id not in session.watching:
            with suppress(Refused):  # too many watches: that is said when the event comes by
                self._watches.watch(session, battle_id, answer.seq - 1)
        reply(answer)

    # -- watching -------------------------------------------------------------------------------------------------

    def watch(self, session: Session, number: int, battle_id: str, after: int | None) -> None:
        reply = session.expect(number)

        def shown(answer: Answer) -> None:
            if isinstance(answer, Shown) and not session.closed:
                try:
                    self._begin_watch(session, battle_id, after, answer, reply)
                except Refused as refused:
                    reply(refused)
            else:
                reply(answer)

        expires_at = self._now_s() + self._deadline_s
        self._router.send(Message(battle_id, Show("battle"), shown, expires_at, watching=True))

    def _begin_watch(self, session: Session, battle_id: str, after: int | None, shown: Shown, reply: Reply) -> None:
        """The state is that of `shown.seq`; this runs before the events of the commit that covers it are passed on."""
        position = shown.seq if after is None else min(after, shown.seq)
        watch = self._watches.watch(session, battle_id, position, behind=shown.seq)
        watch.over = shown.view["state"] == "finished"
        if after is None or after > shown.seq:
            reply(with_state(shown))
        elif after == shown.seq:
            reply(Shown(shown.seq, {"recovered": True}))
        else:
            self._resumes.begin(Resume(watch, (shown, reply)))
