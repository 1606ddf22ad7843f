"""What an actor asks its mode's rules, each question within the time limit (see time_limit.py).

What fails before anything has changed, `decide` and `view`, is a refusal. What fails later has broken the state: that
comes out as it is, and is a crash of the actor.
"""

from collections.abc import Iterator
from typing import Any

import structlog

from gameserver.actors.kinds import Kind
from gameserver.actors.messages import Play
from gameserver.actors.time_limit import RulesTooSlow, time_limit
from gameserver.errors import Refused
from gameserver.game.machine import Machine
from gameserver.game.rules import Dice
from gameserver.protocol.events import Line

log = structlog.get_logger()

Ruling = list[tuple[Any, Line]]
"""Events, each with its bytes."""


class Referee:
    """Belongs to the thread that made it."""

    __slots__ = ("_actor_id", "_kind", "_limited", "_machine")

    def __init__(self, actor_id: str, kind: Kind, machine: Machine) -> None:
        self._actor_id, self._kind, self._machine = actor_id, kind, machine
        self._limited = time_limit().call

    def decide(self, command: Any, first_seq: int, now_ms: int, dice: Dice) -> Ruling:
        """Raises Refused: nothing has changed."""
        try:
            return self._limited(self._decide, command, first_seq, now_ms, dice)
        except Refused:
            raise
        except Exception as error:
            name = command.name if isinstance(command, Play) else type(command).__name__
            raise self._refusal(error, name) from error

    def view(self) -> Any:
        """Raises Refused."""
        try:
            return self._limited(self._machine.view)
        except Exception as error:
            raise self._refusal(error, "view") from error

    def apply(self, event: Any) -> None:
        """Raises RulesTooSlow, or whatever the rules do; the state is broken then."""
        self._limited(self._machine.apply, event)

    def follow_up(self, first_seq: int, now_ms: int) -> Ruling:
        """Raises like `apply`: what came before has been applied already."""
        return self._limited(self._follow_up, first_seq, now_ms)

    def deadline(self) -> int | None:
        """Raises like `apply`."""
        return self._limited(self._machine.deadline)

    def _decide(self, command: Any, first_seq: int, now_ms: int, dice: Dice) -> Ruling:
        if isinstance(command, Play):
            command = self._kind.command(command)
        return list(self._lines(self._machine.decide(command, now_ms, dice), first_seq))

    def _follow_up(self, first_seq: int, now_ms: int) -> Ruling:
        return list(self._lines(self._machine.follow_up(now_ms), first_seq))

    def _lines(self, events: Any, first_seq: int) -> Iterator[tuple[Any, Line]]:
        encode, actor_id = self._kind.events.encode, self._actor_id
        return ((event, encode(actor_id, seq, event)) for seq, event in enumerate(events, first_seq))

    def _refusal(self, error: Exception, command: str) -> Refused:
        code = "rules_too_slow" if isinstance(error, RulesTooSlow) else "rules_failed"
        log.error(
            code.replace("_", ".", 1), actor=self._actor_id, mode=self._kind.mode, command=command, exc_info=error
        )
        return Refused(code)
