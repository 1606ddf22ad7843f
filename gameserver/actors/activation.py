"""From the journal to an actor in memory: take ownership first, then read, then fold.

Raising the epoch first waits out or fences every statement of an earlier life, so what is read then is final. A long
journal is folded in turns, so that the others here go on meanwhile; each of its events within the rules' time limit.
"""

from collections.abc import Iterator
from typing import Any

from gameserver.actors.actor import Actor, Memory, Surroundings
from gameserver.actors.kinds import Kind, Kinds
from gameserver.actors.mailbox import Mailbox
from gameserver.actors.messages import Birth
from gameserver.actors.outcomes import Outcomes
from gameserver.actors.ports import Activation, History, Journal
from gameserver.actors.referee import StateBroken
from gameserver.actors.time_limit import time_limit
from gameserver.codec import decode
from gameserver.config import CommandSettings
from gameserver.errors import Refused, RulesUnknown
from gameserver.turns import at_once, in_turns


async def take_ownership(actor_id: str, birth: Birth | None, journal: Journal, kinds: Kinds) -> Activation:
    """Raises JournalError (see Journal.activate), Refused("unknown_mode")."""
    if birth is None:
        return await journal.activate(actor_id)
    version = kinds.newest_version(birth.kind, birth.mode)
    return await journal.create(actor_id, birth.kind, birth.mode, version)


async def restore(
    activation: Activation,
    journal: Journal,
    kinds: Kinds,
    commands: CommandSettings,
    mailbox: Mailbox,
    around: Surroundings,
) -> Actor:
    """Raises JournalError, Refused (overtaken), RulesUnknown: then the actor is released, for a node that knows them.

    Whatever else comes is a crash of the rules.
    """
    try:
        kind = kinds.find(activation.kind, activation.mode, activation.rules_version)
    except RulesUnknown:
        await journal.release(activation.actor_id, activation.epoch)
        raise
    history = await journal.load(activation.actor_id)
    try:
        memory = await fold_in_turns(kind, history, commands)
    except Refused as error:
        raise StateBroken from error
    if memory.seq > activation.last_seq:  # another node has taken it since, and has written
        raise Refused("actor_restarting")
    assert memory.seq == activation.last_seq, f"the journal ends at {memory.seq}, not at {activation.last_seq}"
    return Actor(activation, kind, memory, mailbox, around)


def fold(kind: Kind, history: History, commands: CommandSettings) -> Memory:
    """The state that a history leads to: always the same, on every node and at every time."""
    folding = _Folding(kind, history, commands)
    at_once(folding.steps())
    return folding.memory()


async def fold_in_turns(kind: Kind, history: History, commands: CommandSettings) -> Memory:
    """The same, letting others have a turn now and then."""
    folding = _Folding(kind, history, commands)
    await in_turns(folding.steps())
    return folding.memory()


class _Folding:
    """Raises RulesTooSlow, and whatever the rules do."""

    def __init__(self, kind: Kind, history: History, commands: CommandSettings) -> None:
        self._limited = time_limit().call
        self._kind, self._rows = kind, history.rows
        self._machine, self._outcomes = self._limited(kind.new), Outcomes(commands)
        self._seq = self._at_ms = self._snapshot_bytes = 0
        if history.snapshot is not None:
            self._at_ms = self._limited(kind.restore, history.snapshot.state, self._machine, self._outcomes)
            self._seq = history.snapshot.seq
            self._snapshot_bytes = len(history.snapshot.state)
        self._snapshot_seq = self._seq

    def steps(self) -> Iterator[None]:
        """One event, or one outcome, at a time."""
        for row in self._rows:
            events = self._kind.events.decode(row.public, row.private)
            while self._limited(self._fold_next, events):
                yield
            for outcome in decode(row.outcomes) if row.outcomes else ():
                if outcome[-1] > self._snapshot_seq:
                    self._outcomes.replay([outcome])
                    yield

    def memory(self) -> Memory:
        tail_bytes = sum(len(row.public) for row in self._rows)
        sizes = (self._snapshot_bytes, tail_bytes)
        return Memory(self._machine, self._outcomes, self._seq, self._at_ms, self._snapshot_seq, *sizes)

    def _fold_next(self, events: Iterator[tuple[int, Any]]) -> bool:
        """False if there are no more."""
        for seq, event in events:
            if seq > self._snapshot_seq:
                assert seq == self._seq + 1, f"hole in the journal before {seq}"
                self._machine.apply(event)
                self._seq, self._at_ms = seq, max(self._at_ms, event.at)
            return True
        return False
