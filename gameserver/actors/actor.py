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
from functools import partial
from typing import Any

import trio
from attrs import frozen

from gameserver.actors.alarms import Alarms
from gameserver.actors.committer import Committer
from gameserver.actors.kinds import Kind
from gameserver.actors.mailbox import Mailbox
from gameserver.actors.messages import Birth, Inspect, Message, Passivate, Send, Show, Wake, ignore
from gameserver.actors.outcomes import Outcomes
from gameserver.actors.pending import Pending
from gameserver.actors.ports import Accepted, Activation, Answer, Clock, Shown, Snapshot
from gameserver.actors.projections import project
from gameserver.actors.referee import Referee, Ruling
from gameserver.config import ActorSettings
from gameserver.errors import Refused
from gameserver.game.machine import Intention, IntentionSettled, Machine
from gameserver.game.rules import Dice, TimeUp
from gameserver.turns import TURN_S


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
    """What an actor is restored to: the fold of its journal up to `seq`; `at_ms` is the time of the last event."""

    machine: Machine
    outcomes: Outcomes
    seq: int = 0
    at_ms: int = 0
    snapshot_seq: int = 0


class StateBroken(Exception):
    """The rules failed after they had decided."""


class Actor:
    def __init__(
        self, activation: Activation, kind: Kind, memory: Memory, mailbox: Mailbox, around: Surroundings
    ) -> None:
        self.id, self.epoch = activation.actor_id, activation.epoch
        self.seq = memory.seq
        self._seed = activation.seed
        self._kind, self._machine, self._outcomes = kind, memory.machine, memory.outcomes
        self._at_ms, self._snapshot_seq = memory.at_ms, memory.snapshot_seq
        self._mailbox, self._around = mailbox, around
        self._referee = Referee(self.id, kind, memory.machine)
        self._sent_at_ms: dict[str, int] = {}
        self._not_durable: set[str] = set()
        self._deadline_ms: int | None = None
        self._alarm_ms: int | None = None
        self._scope = trio.CancelScope()
        self.durable_seq = memory.seq
        """Up to here everybody may see: what lies above it is still on its way."""

    @property
    def kind(self) -> str:
        return self._kind.name

    @property
    def rules_version(self) -> int:
        return self._kind.rules_version

    @property
    def rules(self) -> str:
        return self._kind.rules

    # -- life -----------------------------------------------------------------------------------------------------

    async def live(self) -> bool:
        """Work through the mailbox; True when the actor agrees to leave memory, False when it was abandoned.

        What raises from here is a crash: the state may be broken, and the caller must drop the actor.
        """
        await self._around.committer.delivery.announce(self)
        for intention in self._machine.intentions():
            self._send(intention)
        self._set_alarm()
        with self._scope:
            while True:
                await self._mailbox.wait()
                if self._scope.cancel_called:  # abandoned when a message had woken it already: nothing here is true
                    break
                if self._work():
                    await self._around.committer.landed(self)
                    return True
        return False

    def abandon(self) -> None:
        """Throw this life away: its state is not what is durable."""
        self._scope.cancel()

    def snapshot(self) -> Snapshot | None:
        """The present state, if it is newer than the last snapshot."""
        if self.seq == self._snapshot_seq:
            return None
        self._snapshot_seq = self.seq
        state = self._kind.encode_state(self._machine, self._outcomes, self._at_ms)
        return Snapshot(self.seq, self.rules_version, state)

    def _work(self) -> bool:
        """One turn: the mailbox, or as much of it as may be done in one go.

        True if the actor shall leave memory once nothing is in flight.
        """
        messages = self._mailbox.messages
        now = trio.current_time()
        turn_ends_at = now + TURN_S
        while messages and now <= turn_ends_at:
            message = messages.popleft()
            if isinstance(message.command, Passivate):
                if message.command.at_once or not (messages or self._around.committer.holds(self)):
                    self._deadline_ms = self._referee.deadline()
                    return True
            elif isinstance(message.command, Wake):
                self._wake()
            elif message.expires_at < now:
                message.reply(Refused("deadline_exceeded"))
            else:
                self._handle(message)
            now = trio.current_time()
        if self.seq - self._snapshot_seq >= self._around.limits.snapshot_every:
            self._around.committer.pending(self).snapshot = self.snapshot()
        self._set_alarm()
        return False

    # -- commands -------------------------------------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        pending = self._around.committer.pending(self)
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
        command, identity = message.command, message.identity
        if isinstance(command, Show):
            return Shown(self.seq, self._view(command.kind))
        if isinstance(command, Inspect):
            return Shown(self.seq, self._inspect())
        if identity is not None:
            known_seq = self._outcomes.find(identity)
            if known_seq is not None:
                return Accepted(known_seq)
        accepted = self._decide(command, pending)
        if isinstance(command, IntentionSettled):
            self._sent_at_ms.pop(command.intention_id, None)
        if identity is not None and accepted.event is not None:
            self._outcomes.record(identity, accepted.seq)
            pending.add_outcome(identity, accepted)
        return accepted

    def _decide(self, command: Any, pending: Pending) -> Accepted:
        """Decide, apply, and let what follows follow. The answer names the first event of the command."""
        now_ms = max(self._at_ms, self._around.clock.now_ms())
        first = self.seq + 1
        ruling = self._referee.decide(command, first, now_ms, Dice(self._seed, first))
        if not ruling:
            return Accepted(self.seq)
        try:
            self._apply(ruling, pending)
            while following := self._referee.follow_up(self.seq + 1, now_ms):
                self._apply(following, pending)
            self._intend(pending)
        except Refused as error:  # it would pass for a refusal that has changed nothing
            raise StateBroken from error
        return Accepted(first, ruling[0][1].public)

    def _apply(self, ruling: Ruling, pending: Pending) -> None:
        """Fold events into the state and put them on their way."""
        for event, line in ruling:
            self.seq += 1
            self._at_ms = max(self._at_ms, event.at)
            self._referee.apply(event)
            pending.add_event(event, line)
            self._around.committer.note_event()
            for row in project(self._machine.state(), event, self.seq):
                pending.add_row(row)

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
            "snapshot_seq": self._snapshot_seq,
            "wake_at_ms": self.wake_at_ms(),
            "mailbox": len(self._mailbox.messages),
            "unacknowledged_intentions": [intention.id for intention in self._machine.intentions()],
            "state": self._view(None) if self._machine.born else None,
        }

    # -- timers ---------------------------------------------------------------------------------------------------

    def wake_at_ms(self) -> int | None:
        """When somebody must wake this actor even if it has left memory."""
        times = [self._deadline_ms, self._retry_at_ms()]
        return min((time for time in times if time is not None), default=None)

    def _set_alarm(self) -> None:
        self._deadline_ms = self._referee.deadline()
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
        if deadline_ms is not None and deadline_ms <= self._around.clock.now_ms():
            now = trio.current_time()
            self._handle(Message(self.id, TimeUp(), ignore, expires_at=now))
            self._deadline_ms = self._referee.deadline()
            if self._deadline_ms == deadline_ms:  # the mode let its own deadline pass: ask again, not at once
                self._alarm_ms = self.wake_at_ms()
                self._around.alarms.set(self.id, now + self._around.limits.sweep_interval_ms / 1000)
        self._resend_intentions()

    # -- intentions -----------------------------------------------------------------------------------------------

    def _intend(self, pending: Pending) -> None:
        """Have what is newly intended sent once it is durable."""
        for intention in self._machine.intentions():
            if intention.id not in self._sent_at_ms:
                self._sent_at_ms[intention.id] = self._around.clock.now_ms()
                self._not_durable.add(intention.id)
                pending.intentions.append(intention)

    def on_committed(self, pending: Pending) -> None:
        """What this pending carried is durable: carry out what it intended, and keep its snapshot."""
        self.durable_seq += len(pending.events)
        for intention in pending.intentions:
            self._not_durable.discard(intention.id)
            self._send(intention)
        if pending.snapshot is not None:
            self._around.save_snapshot(self.id, self.epoch, pending.snapshot)

    def _resend_intentions(self) -> None:
        """Send again what has not been acknowledged in time; what is not durable yet just waits on."""
        now_ms, retry_ms = self._around.clock.now_ms(), self._around.limits.intention_retry_ms
        for intention in self._machine.intentions():
            if self._sent_at_ms.get(intention.id, 0) + retry_ms > now_ms:
                continue
            if intention.id in self._not_durable:
                self._sent_at_ms[intention.id] = now_ms
            else:
                self._send(intention)

    def _send(self, intention: Intention) -> None:
        around = self._around
        self._sent_at_ms[intention.id] = around.clock.now_ms()
        birth = Birth(intention.kind, intention.mode) if intention.mode else None
        expires_at = trio.current_time() + around.limits.command_deadline_ms / 1000
        reply = partial(self._settle, intention.id)
        around.send(Message(intention.target, intention.command, reply, expires_at, birth=birth))

    def _settle(self, intention_id: str, answer: Answer) -> None:
        """The other actor has answered; what can be tried again stays for the next alarm."""
        refusal = None
        if isinstance(answer, Refused):
            if answer.retryable:
                return
            refusal = answer.code
        expires_at = trio.current_time() + self._around.limits.command_deadline_ms / 1000
        self._around.send(Message(self.id, IntentionSettled(intention_id, refusal), ignore, expires_at))

    def _retry_at_ms(self) -> int | None:
        sent = [self._sent_at_ms.get(intention.id, 0) for intention in self._machine.intentions()]
        return min(sent) + self._around.limits.intention_retry_ms if sent else None
