"""From the journal to an actor in memory: take ownership first, then read, then fold.

Raising the epoch first waits out or fences every statement of an earlier life, so what is read then is final.
"""

from gameserver.actors.actor import Actor, Memory, StateBroken, Surroundings
from gameserver.actors.kinds import Kind, Kinds
from gameserver.actors.mailbox import Mailbox
from gameserver.actors.messages import Birth
from gameserver.actors.outcomes import Outcomes
from gameserver.actors.ports import Activation, History, Journal
from gameserver.codec import decode
from gameserver.config import CommandSettings
from gameserver.errors import Refused, RulesUnknown


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
    """Raises JournalError, RulesUnknown: then the actor is released, for a node that knows them.

    Whatever else comes is a crash of the rules.
    """
    try:
        kind = kinds.find(activation.kind, activation.mode, activation.rules_version)
    except RulesUnknown:
        await journal.release(activation.actor_id, activation.epoch)
        raise
    history = await journal.load(activation.actor_id)
    try:
        memory = fold(kind, history, commands)
    except Refused as error:
        raise StateBroken from error
    assert memory.seq == activation.last_seq, f"the journal ends at {memory.seq}, not at {activation.last_seq}"
    return Actor(activation, kind, memory, mailbox, around)


def fold(kind: Kind, history: History, commands: CommandSettings) -> Memory:
    """The state that a history leads to: always the same, on every node and at every time."""
    machine, outcomes = kind.new(), Outcomes(commands)
    seq, at_ms = 0, 0
    if history.snapshot is not None:
        at_ms = kind.restore(history.snapshot.state, machine, outcomes)
        seq = history.snapshot.seq
    snapshot_seq = seq
    for row in history.rows:
        for event_seq, event in kind.events.decode(row.public, row.private):
            if event_seq > snapshot_seq:
                assert event_seq == seq + 1, f"hole in the journal before {event_seq}"
                machine.apply(event)
                seq, at_ms = event_seq, max(at_ms, event.at)
        if row.outcomes:
            outcomes.replay([outcome for outcome in decode(row.outcomes) if outcome[-1] > snapshot_seq])
    return Memory(machine, outcomes, seq, at_ms, snapshot_seq)
