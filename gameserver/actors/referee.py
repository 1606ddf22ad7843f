"""What an actor asks its mode's rules, each question within the time limit (see time_limit.py).

A command is one question: decide it, fold what that gives into the state, and see what follows. Until the rules have
decided, and their events are written down as bytes, nothing has changed, and what fails is a refusal. What fails later
has broken the state: that comes out as it is, and is a crash of the actor.
"""

from collections.abc import Iterable
from typing import Any

import structlog

from gameserver.actors.kinds import Kind
from gameserver.actors.messages import Play
from gameserver.actors.pending import Pending
from gameserver.actors.ports import Accepted
from gameserver.actors.projections import PROJECTIONS
from gameserver.actors.time_limit import RulesTooSlow, time_limit
from gameserver.codec import copied
from gameserver.errors import Refused
from gameserver.game.machine import Machine
from gameserver.game.rules import Dice
from gameserver.protocol.events import Line

log = structlog.get_logger()


class StateBroken(Exception):
    """The rules failed after they had decided."""


class Referee:
    """Belongs to the thread that made it. `seq` and `at_ms` are those of the last event."""

    __slots__ = ("_actor_id", "_decided", "_dice", "_kind", "_limited", "_machine", "at_ms", "seq")

    def __init__(self, actor_id: str, kind: Kind, machine: Machine, dice: Dice, seq: int, at_ms: int) -> None:
        self._actor_id, self._kind, self._machine, self._dice = actor_id, kind, machine, dice
        self._limited = time_limit().call
        self._decided = False
        self.seq, self.at_ms = seq, at_ms

    def rule(self, command: Any, now_ms: int, pending: Pending) -> Accepted:
        """Put all that a command causes into the state and into `pending`; the answer names the first event of it.

        Raises Refused: nothing has changed. Raises whatever else: the state is broken, and so is `pending`.
        """
        self._decided = False
        try:
            return self._limited(self._rule, command, now_ms, pending)
        except Refused as refused:
            if self._decided:  # it would pass for a refusal that has changed nothing
                raise StateBroken from refused
            raise
        except Exception as error:
            if self._decided:
                raise
            name = command.name if isinstance(command, Play) else type(command).__name__
            raise self._refusal(error, name) from error

    def view(self) -> Any:
        """As it is now: it is shown when the state has gone on, and what is not durable yet must not shine through.

        Raises Refused.
        """
        try:
            return self._limited(self._view)
        except Exception as error:
            raise self._refusal(error, "view") from error

    def deadline(self) -> int | None:
        """Raises RulesTooSlow, or whatever the rules do; the state is broken then."""
        return self._limited(self._machine.deadline)

    def _view(self) -> Any:
        return copied(self._machine.view())

    def _rule(self, command: Any, now_ms: int, pending: Pending) -> Accepted:
        machine, lines, before, already = self._machine, pending.lines, self.seq, len(pending.lines)
        if type(command) is Play:
            command = self._kind.commands.decode(command.name, command.payload, command.player_id)
        now_ms = max(now_ms, self.at_ms)
        ruling = self._written(machine.decide(command, now_ms, self._dice.moved_to(before + 1)))
        self._decided = True
        while ruling:
            for event, (public, private) in ruling:
                self.seq += 1
                machine.apply(event)
                self.at_ms = max(self.at_ms, event.at)
                lines.append(public)
                if private:
                    pending.attach().private.append(private)
                if type(event) in PROJECTIONS:
                    pending.attach().add_rows(self.seq, event, machine.state())
            following = machine.follow_up(now_ms)
            ruling = self._written(following) if following else []
        return Accepted(before) if self.seq == before else Accepted(before + 1, lines[already])

    def _written(self, events: Iterable[Any]) -> list[tuple[Any, Line]]:
        """Events that follow the last one, each with its bytes."""
        writers, actor_id, seq, ruling = self._kind.events.writers, self._actor_id, self.seq, []
        for event in events:
            seq += 1
            ruling.append((event, writers[type(event)](actor_id, seq, event)))
        return ruling

    def _refusal(self, error: Exception, command: str) -> Refused:
        code = "rules_too_slow" if isinstance(error, RulesTooSlow) else "rules_failed"
        log.error(
            code.replace("_", ".", 1), actor=self._actor_id, mode=self._kind.mode, command=command, exc_info=error
        )
        return Refused(code)
