"""Filling in what watches have missed: from memory, or from the journal, with one read per battle, however many wait.

A resume is answered in this order, without gap or double: the reply, the missed events, the events that were committed
while those were read, and then everything live. What cannot be filled in whole is not filled in: a
client that has asked gets the state instead, another one is told to come back.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import structlog
import trio
from attrs import frozen

from gameserver.actors.ports import Journal, Reply, Shown
from gameserver.cluster.watches import Watch, Watches
from gameserver.config import Settings
from gameserver.errors import JournalError, Refused
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.events import lines_between
from gameserver.protocol.frames import text_frame
from gameserver.turns import in_turns

log = structlog.get_logger()

FINISHED: Final = b'{"event":"battle:finished",'


@frozen
class Resume:
    """A held watch that has missed the events above `after` and up to `up_to`.

    A client has `asked` with this reply, after the state that was shown; without one the fault is ours.
    """

    watch: Watch
    after: int
    up_to: int
    asked: tuple[Shown, Reply] | None = None


class Resumes:
    """`begin` never blocks; `run` reads the journal, a few battles at a time."""

    def __init__(self, journal: Journal, watches: Watches, settings: Settings) -> None:
        self._journal, self._watches = journal, watches
        self._limits, self._history_limit = settings.websocket, settings.journal.history_limit
        self._waiting: dict[str, list[Resume]] = {}
        self._count = 0
        self.reads = 0
        """How often the journal was read."""
        self._to_read, self._battles = trio.open_memory_channel[str](self._limits.resumes_limit)
        watches.on_behind(lambda watch, after, up_to: self.begin(Resume(watch, after, up_to)))

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
            self._to_read.send_nowait(battle_id)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self._limits.resuming_limit):
                nursery.start_soon(self._read_battles)

    async def _read_battles(self) -> None:
        async for battle_id in self._battles:
            resumes = self._waiting.pop(battle_id)
            try:
                await self._serve(battle_id, resumes)
            finally:
                self._count -= len(resumes)

    async def _serve(self, battle_id: str, resumes: Sequence[Resume]) -> None:
        """Once for all; if that is too much, or too old for one of them, once for each."""
        after, up_to = min(resume.after for resume in resumes), max(resume.up_to for resume in resumes)
        lines = self._watches.recent.between(battle_id, after, up_to)
        try:
            if lines is None:
                lines = await self._read(battle_id, after, up_to)
        except JournalError as error:
            log.warning("resume.failed", battle=battle_id, error=str(error))
            await in_turns(map(partial(self._give_up, refused=Refused("storage_unavailable")), resumes))
            return
        if lines is None and len(resumes) > 1:
            for resume in resumes:
                await self._serve(battle_id, [resume])
            return
        await in_turns(map(partial(self._answer, first_seq=after + 1, lines=lines), resumes))

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

    def _answer(self, resume: Resume, first_seq: int, lines: Sequence[bytes] | None) -> None:
        """`lines` begin with the event `first_seq`, and hold at least what this resume has missed."""
        watch = resume.watch
        if resume.asked is not None and not watch.current:
            resume.asked[1](Refused("watch_replaced"))
        elif lines is not None:
            if resume.asked is not None:
                resume.asked[1](Shown(resume.up_to, {"recovered": True}))
            missed = lines[resume.after + 1 - first_seq : resume.up_to + 1 - first_seq]
            watch.over |= any(line.startswith(FINISHED) for line in missed)
            self._watches.release(watch, [text_frame(line) for line in missed])
        elif resume.asked is not None:
            shown, reply = resume.asked
            reply(with_state(shown, recovered=False))
            self._watches.release(watch, [])
        elif watch.current:
            watch.session.close(CloseCode.MISSED_EVENTS)

    def _give_up(self, resume: Resume, refused: Refused) -> None:
        """A stream with a hole is worse than none."""
        if resume.asked is not None:
            self._watches.give_up(resume.watch)
            resume.asked[1](refused)
        elif resume.watch.current:
            resume.watch.session.close(CloseCode.MISSED_EVENTS)


def with_state(shown: Shown, **more: Any) -> Shown:
    return Shown(shown.seq, {**more, "state": shown.view})
