"""What sessions can ask of the node: commands on their way to actors, and watching battles.

A resume is answered in this order, without gap or double: the reply, the missed events from the journal, the events
that were committed while those were read, and then everything live.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
import trio
from attrs import frozen

from gameserver.actors.messages import Message, Play, Show
from gameserver.actors.ports import Accepted, Answer, Clock, Journal, JournalRow, Reply, Shown
from gameserver.cluster.leaderboard_feed import LeaderboardFeed
from gameserver.cluster.lifecycle import Lifecycle, LifecycleCall
from gameserver.cluster.router import Router
from gameserver.cluster.sessions import Sessions
from gameserver.cluster.watches import Watch, Watches
from gameserver.config import Settings
from gameserver.errors import JournalError, Refused
from gameserver.ids import CommandId
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.events import lines_between
from gameserver.protocol.frames import text_frame
from gameserver.protocol.session import Change, Session

log = structlog.get_logger()


@frozen
class Resume:
    """A held watch that has missed the events above `after` and up to `up_to`.

    A client has `asked` with this reply, after the state that was shown; without one the fault is ours.
    """

    watch: Watch
    after: int
    up_to: int
    asked: tuple[Shown, Reply] | None = None


class NodeGateway:
    """Implements protocol/session.py's Gateway; `run` reads the journal for those who resume."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        lifecycle: Lifecycle,
        sessions: Sessions,
        watches: Watches,
        feed: LeaderboardFeed,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._settings, self._router, self._lifecycle = settings, router, lifecycle
        self._sessions, self._watches, self._feed = sessions, watches, feed
        self._journal, self._clock = journal, clock
        self._deadline_s = settings.actors.command_deadline_ms / 1000
        self._to_resume, self._resumes = trio.open_memory_channel[Resume](settings.websocket.resumes_limit)
        watches.on_behind(lambda watch, after, up_to: self._resume(Resume(watch, after, up_to)))

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

    def play(self, session: Session, number: int, battle_id: str, event: str, payload: bytes) -> None:
        identified = session.identified
        message = Message(
            actor_id=battle_id,
            command=Play(event, payload, identified.player_id),
            reply=session.expect(number),
            expires_at=trio.current_time() + self._deadline_s,
            identity=CommandId(identified.player_id, identified.instance, number),
        )
        self._router.send(message)

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

        expires_at = trio.current_time() + self._deadline_s
        self._router.send(Message(battle_id, Show("battle"), shown, expires_at, watching=True))

    def _begin_watch(self, session: Session, battle_id: str, after: int | None, shown: Shown, reply: Reply) -> None:
        """The state is that of `shown.seq`; this runs before the events of the commit that covers it are passed on."""
        missed = after is not None and after < shown.seq
        watch = self._watches.watch(session, battle_id, shown.seq, held=missed)
        watch.over = shown.view["state"] == "finished"
        if after is None or after > shown.seq:
            reply(_with_state(shown))
        elif after == shown.seq:
            reply(Shown(shown.seq, {"recovered": True}))
        else:
            self._resume(Resume(watch, after, shown.seq, (shown, reply)))

    def _resume(self, resume: Resume) -> None:
        try:
            self._to_resume.send_nowait(resume)
        except trio.WouldBlock:
            self._give_up(resume, Refused("overloaded"))

    async def run(self) -> None:
        """Serve those who resume, a few at a time."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._settings.websocket.resuming_limit):
                nursery.start_soon(self._serve_resumes)

    async def _serve_resumes(self) -> None:
        async for resume in self._resumes:
            await self._serve(resume)

    async def _serve(self, resume: Resume) -> None:
        watch, limit = resume.watch, self._settings.journal.history_limit
        try:
            rows = await self._journal.read(watch.battle_id, resume.after, resume.up_to, limit)
        except JournalError as error:
            log.warning("resume.failed", battle=watch.battle_id, error=str(error))
            self._give_up(resume, Refused("storage_unavailable"))
            return
        if resume.asked is not None and not watch.current:
            resume.asked[1](Refused("watch_replaced"))
        elif rows is not None:
            if resume.asked is not None:
                resume.asked[1](Shown(resume.up_to, {"recovered": True}))
            self._watches.release(watch, _frames(rows, resume.after, resume.up_to))
        elif resume.asked is not None:
            shown, reply = resume.asked
            reply(_with_state(shown, recovered=False))
            self._watches.release(watch, [])
        else:
            watch.session.close(CloseCode.MISSED_EVENTS)

    def _give_up(self, resume: Resume, refused: Refused) -> None:
        """A stream with a hole is worse than none."""
        if resume.asked is not None:
            self._watches.give_up(resume.watch)
            resume.asked[1](refused)
        else:
            resume.watch.session.close(CloseCode.MISSED_EVENTS)


def _with_state(shown: Shown, **more: Any) -> Shown:
    return Shown(shown.seq, {**more, "state": shown.view})


def _frames(rows: Sequence[JournalRow], after: int, up_to: int) -> list[bytes]:
    lines = [line for row in rows for line in lines_between(row.public, row.first_seq, after, up_to)]
    return [text_frame(line) for line in lines]
