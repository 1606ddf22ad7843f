"""Filling in what watches are behind by: from memory, or from the journal, with one read per battle, however many wait;
or else by the battle's present state.

A client that has asked is answered in this order, without gap or double: the reply, the missed events, and then
everything live. What cannot be filled in whole is not filled in: who has asked gets the state in the reply, another one
as a push. Who is told neither, because the state cannot be had, is told to come back.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import structlog
import trio
from attrs import frozen

from gameserver.actors.messages import Message, Send, Show
from gameserver.actors.ports import Journal, Reply, Shown
from gameserver.cluster.ask import ask
from gameserver.cluster.watch import Watch
from gameserver.cluster.watches import Watches
from gameserver.codec import NOT_PLAIN, encode
from gameserver.config import Settings
from gameserver.errors import JournalError, Refused
from gameserver.protocol.events import STATE, lines_between
from gameserver.protocol.frames import text_frame, text_frames
from gameserver.turns import in_turns

log = structlog.get_logger()

FINISHED: Final = b'{"event":"battle:finished",'


@frozen
class Resume:
    """A watch to be filled. A client has `asked` with this reply, after the state that was shown; without one it has
    not, and need not hear of it."""

    watch: Watch
    asked: tuple[Shown, Reply] | None = None


class Resumes:
    """`begin` never blocks; `run` serves a few battles at a time."""

    def __init__(self, journal: Journal, watches: Watches, send: Send, settings: Settings) -> None:
        self._journal, self._watches, self._send = journal, watches, send
        self._limits, self._history_limit = settings.websocket, settings.journal.history_limit
        self._deadline_ms = settings.actors.command_deadline_ms
        self._waiting: dict[str, list[Resume]] = {}
        self._count = 0
        self.reads = 0
        """How often the journal was read."""
        self._to_serve, self._battles = trio.open_memory_channel[str](self._limits.resumes_limit)
        watches.on_behind(lambda watch: self.begin(Resume(watch)))

    def __len__(self) -> int:
        return self._count

    def begin(self, resume: Resume) -> None:
        if self._count >= self._limits.resumes_limit:
            self._give_up(resume, Refused("overloaded"))
            return
        self._count += 1
        battle_id = resume.watch.battle_id
        waiting = self._waiting.setdefault(battle_id, [])
        waiting.append(resume)
        if len(waiting) == 1:
            self._to_serve.send_nowait(battle_id)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self._limits.resuming_limit):
                nursery.start_soon(self._serve_battles)

    async def _serve_battles(self) -> None:
        async for battle_id in self._battles:
            resumes = self._waiting.pop(battle_id)
            try:
                await self._serve(battle_id, resumes)
            finally:
                self._count -= len(resumes)

    async def _serve(self, battle_id: str, resumes: Sequence[Resume]) -> None:
        """Once for all; if that is too much, or too old for one of them, once for each."""
        left = await self._fill(battle_id, resumes)
        if len(left) > 1:
            left = [unserved for resume in left for unserved in await self._fill(battle_id, [resume])]
        for resume in left:
            if resume.asked is not None:
                self._answer(resume.watch, *resume.asked)
        pushed = [resume.watch for resume in left if resume.asked is None]
        if pushed:
            await self._push(battle_id, pushed)

    def _give_up(self, resume: Resume, refused: Refused) -> None:
        """A stream with a hole is worse than none."""
        if resume.asked is not None:
            self._watches.give_up(resume.watch)
            resume.asked[1](refused)
        else:
            resume.watch.hang_up()

    # -- with all that was missed ---------------------------------------------------------------------------------

    async def _fill(self, battle_id: str, resumes: Sequence[Resume]) -> Sequence[Resume]:
        """Gives them back if it cannot be done."""
        after = min(resume.watch.position for resume in resumes)
        up_to = max(resume.watch.behind for resume in resumes)
        asked = any(resume.asked is not None for resume in resumes)
        lines = self._watches.recent.between(battle_id, after, up_to)
        if lines is None and up_to - after <= (self._history_limit if asked else self._limits.collapse_events):
            try:
                lines = await self._read(battle_id, after, up_to)
            except JournalError as error:
                log.warning("resume.failed", battle=battle_id, error=str(error))
                await in_turns(map(partial(self._give_up, refused=Refused("storage_unavailable")), resumes))
                return ()
        if lines is None or sum(map(len, lines)) > self._limits.outgoing_limit_bytes:  # it would be cut off
            return resumes
        await in_turns(self._filled(resumes, lines, after, up_to))
        return ()

    async def _read(self, battle_id: str, after: int, up_to: int) -> list[bytes] | None:
        """None if the journal no longer has it all, or it is too much. Raises JournalError."""
        self.reads += 1
        rows = await self._journal.read(battle_id, after, up_to, self._history_limit)
        if rows is None:
            return None
        lines = [line for row in rows for line in lines_between(row.public, row.first_seq, after, up_to)]
        if self._watches.followed(battle_id):
            self._watches.recent.note_earlier(battle_id, after + 1, lines)
        return lines

    def _filled(self, resumes: Sequence[Resume], lines: Sequence[bytes], after: int, up_to: int) -> Iterator[None]:
        """`lines` are the events above `after` and `up_to` there: what the one who is behind the most has missed."""
        finished = any(line.startswith(FINISHED) for line in lines)
        position, missed = -1, b""
        for resume in resumes:
            watch = resume.watch
            if watch.position != position:  # those who were cut off together share the bytes
                position = watch.position
                missed = text_frames(lines[position - after :])
            if resume.asked is not None:
                shown, reply = resume.asked
                reply(Shown(shown.seq, {"recovered": True}) if watch.current else Refused("watch_replaced"))
            watch.over |= finished
            self._watches.filled(watch, missed, up_to)
            yield

    # -- with the state -------------------------------------------------------------------------------------------

    def _answer(self, watch: Watch, shown: Shown, reply: Reply) -> None:
        reply(with_state(shown, recovered=False) if watch.current else Refused("watch_replaced"))
        self._watches.filled(watch, b"", shown.seq)

    async def _push(self, battle_id: str, watches: Sequence[Watch]) -> None:
        """It is asked for once, also where another node owns the battle. What has happened since is filled in next."""
        try:
            shown = await ask(partial(self._show, battle_id), self._deadline_ms)
            assert isinstance(shown, Shown)
            payload = {"battleId": battle_id, "state": shown.view}
            frame = text_frame(encode({"event": STATE, "seq": shown.seq, "payload": payload}))
        except (Refused, *NOT_PLAIN) as error:
            log.warning("resume.no_state", battle=battle_id, error=str(error))
            await in_turns(map(Watch.hang_up, watches))
        else:
            finished = shown.view["state"] == "finished"
            await in_turns(map(partial(self._collapse, frame=frame, seq=shown.seq, finished=finished), watches))

    def _show(self, battle_id: str, reply: Reply) -> None:
        expires_at = trio.current_time() + self._deadline_ms / 1000
        self._send(Message(battle_id, Show("battle"), reply, expires_at, watching=True))

    def _collapse(self, watch: Watch, frame: bytes, seq: int, *, finished: bool) -> None:
        if seq <= watch.position:  # from an owner that has been asleep
            watch.hang_up()
            return
        watch.over |= finished
        self._watches.filled(watch, frame, seq)


def with_state(shown: Shown, **more: Any) -> Shown:
    return Shown(shown.seq, {**more, "state": shown.view})
