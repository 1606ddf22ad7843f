"""One life of an actor: a battle or group in memory, from an activation until it is abandoned or passivated.

The actor decides every command alone and in order. It never waits for its own commits: it goes on deciding against its
newer state while the committer writes, and nobody is told anything before that is durable. When a commit does not land
the actor is abandoned: its state is ahead of the truth, so it is thrown away with all that it had queued, and the next
command restores it from the journal.

Rules have their say in `decide`: what they raise there, or give that cannot be written down, or take too long over,
refuses the command and has changed nothing. What fails later has broken the state, and is a crash. Nobody but the actor
itself asks the rules anything: the deadline, which others want to know, is what it was at the end of the last turn.
"""

from collections.abc import Callable
from typing import Any

import trio
from attrs import frozen

from gameserver.actors.alarms import Alarms
from gameserver.actors.committer import Committer
from gameserver.actors.intentions import Intentions
from gameserver.actors.kinds import Kind
from gameserver.actors.mailbox import Mailbox
from gameserver.actors.messages import Inspect, Message, Passivate, Send, Show, Wake, ignore
from gameserver.actors.outcomes import Outcomes
from gameserver.actors.pending import Pending
from gameserver.actors.ports import Accepted, Activation, Answer, Clock, Shown, Snapshot
from gameserver.actors.referee import Referee
from gameserver.actors.snapshot_pace import SnapshotPace
from gameserver.config import ActorSettings
from gameserver.errors import Refused
from gameserver.game.machine import IntentionSettled, Machine
from gameserver.game.rules import Dice, TimeUp
from gameserver.turns import TURN_S, trio_clock


@frozen
class Surroundings:
    """What all actors of a node share."""

    committer: Committer
    alarms: Alarms
    clock: Clock
    send: Send
    save_snapshot: Callable[[str, int, Snapshot], None]
    limits: ActorSettings


@frozen
class Memory:
    """What an actor is restored to: the fold of its journal up to `seq`; `at_ms` is the time of the last event, and
    `tail_bytes` the size of the events that came after the snapshot."""

    machine: Machine
    outcomes: Outcomes
    seq: int = 0
    at_ms: int = 0
    snapshot_seq: int = 0
    snapshot_bytes: int = 0
    tail_bytes: int = 0


class Actor:
    def __init__(
        self, activation: Activation, kind: Kind, memory: Memory, mailbox: Mailbox, around: Surroundings
    ) -> None:
        self.id, self.epoch = activation.actor_id, activation.epoch
        self.kind, self.rules_version = kind.name, kind.rules_version
        self._kind, self._machine, self._outcomes = kind, memory.machine, memory.outcomes
        sizes = (memory.snapshot_bytes, memory.tail_bytes)
        self._pace = SnapshotPace(self.id, around.limits, memory.snapshot_seq, *sizes)
        self._mailbox, self._around = mailbox, around
        self._referee = Referee(self.id, kind, memory.machine, Dice(activation.seed, 0), memory.seq, memory.at_ms)
        self._intentions = Intentions(self.id, memory.machine, around.send, around.clock.now_ms, around.limits)
        self._pending: Pending | None = None
        self._now_s, self._now_ms = trio_clock(), 0
        self._deadline_ms: int | None = None
        self._alarm_ms: int | None = None
        self._scope, self._abandoned = trio.CancelScope(), False
        self.worked_at = self._now_s()
        """When it last had something to decide or to show, by Trio's clock."""
        self.durable_seq = memory.seq
        """Up to here everybody may see: what lies above it is still on its way."""

    @property
    def seq(self) -> int:
        return self._referee.seq

    @property
    def rules(self) -> str:
        return self._kind.rules

    # -- life -----------------------------------------------------------------------------------------------------

    async def live(self) -> bool:
        """Work through the mailbox; True when the actor agrees to leave memory, False when it was abandoned.

        What raises from here is a crash: the state may be broken, and the caller must drop the actor.
        """
        await self._around.committer.delivery.announce(self)
        self._intentions.send_all()
        self._deadline_ms = self._referee.deadline()
        self._set_alarm()
        with self._scope:
            while True:
                await self._mailbox.wait()
                if self._abandoned:  # when a message had woken it already: nothing here is true
                    break
                if self._work():
                    await self._around.committer.landed(self)
                    return True
        return False

    def abandon(self) -> None:
        """Throw this life away: its state is not what is durable."""
        self._abandoned = True
        self._scope.cancel()

    def snapshot(self) -> Snapshot | None:
        """The present state, if it is newer than the last snapshot."""
        if self.seq == self._pace.seq:
            return None
        state = self._kind.encode_state(self._machine, self._outcomes, self._referee.at_ms)
        self._pace.taken(self.seq, len(state))
        return Snapshot(self.seq, self.rules_version, state)

    def on_committed(self, pending: Pending) -> None:
        """What this pending carried is durable: carry out what it intended, and keep its snapshot."""
        self.durable_seq += len(pending.lines)
        if pending.lines:
            self._pace.tail_bytes += len(pending.entry.row.public)
        if pending.attached is not None:
            self._intentions.durable(pending.attached.intentions)
        if pending.snapshot is not None:
            self._around.save_snapshot(self.id, self.epoch, pending.snapshot)

    def _work(self) -> bool:
        """One turn: the mailbox, or as much of it as may be done in one go.

        True if the actor shall leave memory once nothing is in flight.
        """
        messages, now = self._mailbox.messages, self._now_s()
        self._pending, self._now_ms = None, self._around.clock.now_ms()
        turn_ends_at = now + TURN_S
        leave = False
        while messages and not leave:
            message = messages.popleft()
            command = type(message.command)
            if command is Passivate:
                leave = message.command.at_once or not (messages or self._around.committer.holds(self))
            elif command is Wake:
                self._wake()
            elif message.expires_at < now:
                message.reply(Refused("deadline_exceeded"))
            else:
                self._handle(message)
            if messages and (now := self._now_s()) > turn_ends_at:
                break
        if self._pending is not None:
            self.worked_at = now
            self._end_turn(self._pending)
        if not leave:
            self._set_alarm()
        return leave

    def _end_turn(self, pending: Pending) -> None:
        """Once, for all that was decided."""
        if len(pending.lines) > pending.counted:  # otherwise the state, and what it wants, are what they were
            self._deadline_ms = self._referee.deadline()
            self._intentions.add_new_to(pending)
            self._around.committer.count(pending)
        if self._pace.due(self.seq):
            pending.snapshot = self.snapshot()

    # -- commands -------------------------------------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        pending = self._pending
        if pending is None:
            pending = self._pending = self._around.committer.pending(self)
        try:
            answer = self._answer(message, pending)
        except Refused as refused:
            answer = refused
        except Exception:
            message.reply(Refused("actor_restarting"))
            raise
        pending.replies.append((message.reply, answer))

    def _answer(self, message: Message, pending: Pending) -> Answer:
        """Raises Refused (nothing has changed), or whatever broke the state."""
        identity = message.identity
        if identity is None:
            return self._answer_nameless(message.command, pending)
        known_seq = self._outcomes.find(identity)
        if known_seq is not None:
            return Accepted(known_seq)
        accepted = self._referee.rule(message.command, self._now_ms, pending)
        if accepted.event is not None:
            self._outcomes.record(identity, accepted.seq)
            pending.add_outcome(identity, accepted.seq, accepted.event)
        return accepted

    def _answer_nameless(self, command: Any, pending: Pending) -> Answer:
        if isinstance(command, Show):
            return Shown(self.seq, self._view(command.kind))
        if isinstance(command, Inspect):
            return Shown(self.seq, self._inspect())
        accepted = self._referee.rule(command, self._now_ms, pending)
        if isinstance(command, IntentionSettled):
            self._intentions.settled(command.intention_id)
        return accepted

    def _view(self, kind: str | None) -> Any:
        if not self._machine.born or kind not in (None, self.kind):
            raise Refused(f"{kind or self.kind}_not_found")
        return self._referee.view()

    def _inspect(self) -> dict[str, Any]:
        self._deadline_ms = self._referee.deadline()
        return {
            "id": self.id,
            "kind": self.kind,
            "mode": self._kind.mode,
            "rules_version": self.rules_version,
            "seq": self.seq,
            "epoch": self.epoch,
            "snapshot_seq": self._pace.seq,
            "wake_at_ms": self.wake_at_ms(),
            "mailbox": len(self._mailbox.messages),
            "unacknowledged_intentions": self._intentions.names(),
            "state": self._view(None) if self._machine.born else None,
        }

    # -- timers ---------------------------------------------------------------------------------------------------

    def wake_at_ms(self) -> int | None:
        """When somebody must wake this actor even if it has left memory."""
        deadline_ms, retry_at_ms = self._deadline_ms, self._intentions.retry_at_ms()
        if deadline_ms is None or retry_at_ms is None:
            return retry_at_ms if deadline_ms is None else deadline_ms
        return min(deadline_ms, retry_at_ms)

    def _set_alarm(self) -> None:
        at_ms = self.wake_at_ms()
        if at_ms == self._alarm_ms:
            return
        self._alarm_ms = at_ms
        at = None
        if at_ms is not None:
            at = trio.current_time() + max(0, at_ms - self._around.clock.now_ms()) / 1000
        self._around.alarms.set(self.id, at)

    def _wake(self) -> None:
        """The alarm rang, or the waker came by: do what is due, and keep the alarm alive for what is not."""
        self._alarm_ms = None
        deadline_ms = self._referee.deadline()
        if deadline_ms is not None and deadline_ms <= self._now_ms:
            now = trio.current_time()
            self._handle(Message(self.id, TimeUp(), ignore, expires_at=now))
            self._deadline_ms = self._referee.deadline()
            if self._deadline_ms == deadline_ms:  # the mode let its own deadline pass: ask again, not at once
                self._alarm_ms = self.wake_at_ms()
                self._around.alarms.set(self.id, now + self._around.limits.sweep_interval_ms / 1000)
        if self._pending is not None:
            self._intentions.add_new_to(self._pending)  # lest they be sent before they are durable
        self._intentions.send_again()
