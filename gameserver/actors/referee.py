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
from gameserver.actors.projections import PROJECTIONS
from gameserver.actors.time_limit import RulesTooSlow, time_limit
from gameserver.errors import Refused
from gameserver.game.machine import Machine
from gameserver.game.rules import Dice
from gameserver.protocol.events import Line

log = structlog.get_logger()


class StateBroken(Exception):
    """The rules failed after they had decided."""


class Referee:
    """Belongs to the thread that made it. `at_ms` is the time of the last event."""

    __slots__ = ("_actor_id", "_decided", "_dice", "_kind", "_limited", "_machine", "at_ms")

    def __init__(self, actor_id: str, kind: Kind, machine: Machine, dice: Dice, at_ms: int) -> None:
        self._actor_id, self._kind, self._machine, self._dice = actor_id, kind, machine, dice
        self._limited = time_limit().call
        self._decided = False
        self.at_ms = at_ms

    def rule(self, command: Any, seq: int, now_ms: int, pending: Pending) -> int:
        """Put all that a command causes after `seq` into the state and into `pending`, and give the last event's seq.

        Raises Refused: nothing has changed. Raises whatever else: the state is broken, and so is `pending`.
        """
        self._decided = False
        try:
            return self._limited(self._rule, command, seq, now_ms, pending)
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
        """Raises Refused."""
        try:
            return self._limited(self._machine.view)
        except Exception as error:
            raise self._refusal(error, "view") from error

    def deadline(self) -> int | None:
        """Raises RulesTooSlow, or whatever the rules do; the state is broken then."""
        return self._limited(self._machine.deadline)

    def _rule(self, command: Any, seq: int, now_ms: int, pending: Pending) -> int:
        machine = self._machine
        if type(command) is Play:
            command = self._kind.commands.decode(command.name, command.payload, command.player_id)
        now_ms = max(now_ms, self.at_ms)
        ruling = self._written(machine.decide(command, now_ms, self._dice.moved_to(seq + 1)), seq)
        self._decided = True
        while ruling:
            for event, line in ruling:
                seq += 1
                machine.apply(event)
                self.at_ms = max(self.at_ms, event.at)
                pending.add_line(line)
                if type(event) in PROJECTIONS:
                    pending.add_rows(seq, event, machine.state())
            following = machine.follow_up(now_ms)
            ruling = self._written(following, seq) if following else []
        return seq

    def _written(self, events: Iterable[Any], seq: int) -> list[tuple[Any, Line]]:
        """Events, each with its bytes; `seq` is that of the last event before."""
        encode, actor_id, ruling = self._kind.events.encode, self._actor_id, []
        for event in events:
            seq += 1
            ruling.append((event, encode(actor_id, seq, event)))
        return ruling

    def _refusal(self, error: Exception, command: str) -> Refused:
        code = "rules_too_slow" if isinstance(error, RulesTooSlow) else "rules_failed"
        log.error(
            code.replace("_", ".", 1), actor=self._actor_id, mode=self._kind.mode, command=command, exc_info=error
        )
        return Refused(code)
