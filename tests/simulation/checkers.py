"""What must hold in every run: a promise each, stated by its checker's first sentence.

They hear of everything at the moment when it happens, from outside of the nodes: what the store took, and what left a
node for a player. They raise nothing, since nodes survive exceptions: a broken promise is noted, and ends the run.
"""

from collections import Counter, defaultdict
from typing import Any

import msgspec
import trio
from attrs import Factory, define

from gameserver.actors.activation import fold
from gameserver.actors.actor import Actor
from gameserver.actors.kinds import Kinds
from gameserver.actors.ports import Activation, Entry, Snapshot
from gameserver.actors.ports import History as Rows
from gameserver.config import CommandSettings
from tests.actors.node import T0
from tests.contracts.memory_journal import StoredActor
from tests.simulation.history import History

decode = msgspec.json.decode

CommandName = tuple[str, str, int, int]
"""Battle, player, instance, number."""

CLOCK_ERROR_MS = 3_000


@define
class Broken:
    """The promises that did not hold: which, and how."""

    history: History
    promises: list[tuple[str, str]] = Factory(list)
    noticed: trio.Event = Factory(trio.Event)

    def add(self, promise: type, how: str) -> None:
        name = promise.__name__
        self.promises.append((name, how))
        self.history.note("BROKEN", f"{name}: {how}")
        self.noticed.set()


@define
class Ledger:
    """The journal as it was written, event by event, kept apart from the store that wrote it."""

    lines: dict[str, list[bytes]] = Factory(lambda: defaultdict(list))
    events: dict[str, list[Any]] = Factory(lambda: defaultdict(list))
    outcomes: dict[CommandName, int] = Factory(dict)

    def last_seq(self, actor_id: str) -> int:
        return len(self.lines[actor_id])

    def landed(self, entry: Entry) -> list[Any]:
        """The events of the entry."""
        lines = entry.row.public.split(b"\n")
        events = [decode(line) for line in lines]
        self.lines[entry.actor_id] += lines
        self.events[entry.actor_id] += events
        return events


@define
class SingleWriter:
    """One actor has at most one writer per epoch, and an older epoch's append never lands."""

    broken: Broken
    epochs: dict[str, tuple[int, str]] = Factory(dict)

    def activated(self, node: str, activation: Activation) -> None:
        before, _ = self.epochs.get(activation.actor_id, (0, ""))
        if activation.epoch <= before:
            self.broken.add(type(self), f"{node} got epoch {activation.epoch} of {activation.actor_id} after {before}")
        self.epochs[activation.actor_id] = activation.epoch, node

    def two_owners(self, actor_id: str, node: str, other: str) -> None:
        self.broken.add(type(self), f"{node} takes {actor_id}, which lives on {other} under a lease")

    def landed(self, entry: Entry, last_seq: int) -> None:
        epoch, node = self.epochs.get(entry.actor_id, (0, ""))
        if entry.epoch != epoch:
            self.broken.add(type(self), f"{entry.actor_id}: epoch {entry.epoch} wrote when {node} had {epoch}")
        if entry.row.first_seq != last_seq + 1:
            self.broken.add(type(self), f"{entry.actor_id}: {entry.row.first_seq} was written after {last_seq}")


@define
class OncePerCommand:
    """A command with the same ID takes effect at most once; once it has, it always gets the same answer."""

    broken: Broken
    ledger: Ledger

    def landed(self, entry: Entry) -> None:
        for outcome in decode(entry.row.outcomes) if entry.row.outcomes else ():
            player, instance, number, seq = outcome
            name = entry.actor_id, player, instance, number
            if name in self.ledger.outcomes:
                self.broken.add(type(self), f"{name} ran twice, at {self.ledger.outcomes[name]} and {seq}")
            self.ledger.outcomes[name] = seq

    def answered(self, name: CommandName, seq: int) -> None:
        ran_at = self.ledger.outcomes.get(name)
        if ran_at is not None and ran_at != seq:
            self.broken.add(type(self), f"{name} ran at {ran_at}, and the answer was {seq}")


@define
class AcknowledgedIsDurable:
    """An acknowledged command is in the journal, and nobody sees an event before it is."""

    broken: Broken
    ledger: Ledger

    def answered(self, name: CommandName, seq: int) -> None:
        if name not in self.ledger.outcomes:
            self.broken.add(type(self), f"{name} was acknowledged with {seq}, and is not durable")

    def told(self, name: CommandName, seq: int, what: str) -> None:
        """By the player's own account."""
        event = self.ledger.events[name[0]][seq - 1]
        if self.ledger.outcomes.get(name) != seq or what not in (event["event"], event["payload"].get("what")):
            self.broken.add(type(self), f"{name} was acknowledged with {seq}, where {event} stands")

    def said(self, to: str, battle_id: str, seq: int, line: bytes | None = None) -> None:
        """Without a line: the state."""
        if self.ledger.last_seq(battle_id) < seq:
            self.broken.add(
                type(self), f"{to} saw {seq} of {battle_id} when {self.ledger.last_seq(battle_id)} was durable"
            )
        elif line not in (None, self.ledger.lines[battle_id][seq - 1]):
            self.broken.add(type(self), f"{to} saw another event at {seq} of {battle_id} than the journal has")


@define
class OneAnswerEach:
    """Each message that is asked over a connection is answered once there."""

    broken: Broken
    unanswered: Counter[tuple[str, int]] = Factory(Counter)

    def asked(self, wire: str, number: int) -> None:
        self.unanswered[wire, number] += 1

    def answered(self, wire: str, number: int) -> None:
        self.unanswered[wire, number] -= 1
        if self.unanswered[wire, number] < 0:
            self.broken.add(type(self), f"{wire}: {number} was answered more often than it was asked")


@define
class Streams:
    """A watcher sees a battle's events in order, without gap or double, or is told to start again from a state."""

    broken: Broken
    positions: dict[tuple[str, str], int] = Factory(dict)
    """Of a wire, or of a player over all of them, in a battle."""

    def begins(self, who: str, battle_id: str, position: int) -> None:
        self.positions[who, battle_id] = position

    def saw(self, who: str, battle_id: str, seq: int) -> None:
        expected = self.positions.get((who, battle_id), seq - 1) + 1
        if seq != expected:
            self.broken.add(type(self), f"{who} got {seq} of {battle_id} instead of {expected}")
        self.positions[who, battle_id] = seq

    def starts_again(self, who: str, battle_id: str, seq: int) -> None:
        """Unasked."""
        if seq <= self.positions.get((who, battle_id), 0):
            self.broken.add(type(self), f"{who} got the state of {battle_id} at {seq}, of which it has seen more")
        self.positions[who, battle_id] = seq


@define
class Timers:
    """A timer fires at most once, not before its time, and the time of a journal's events never runs backwards."""

    broken: Broken
    due: dict[str, int | None] = Factory(dict)
    last_at: dict[str, int] = Factory(lambda: defaultdict(int))

    def happened(self, actor_id: str, event: Any) -> None:
        payload, now_ms = event["payload"], T0 + round(trio.current_time() * 1_000)
        at_ms = payload["at"]
        if at_ms < self.last_at[actor_id]:
            self.broken.add(type(self), f"{actor_id}: {event['event']} at {at_ms} after {self.last_at[actor_id]}")
        if at_ms > now_ms + CLOCK_ERROR_MS:
            self.broken.add(type(self), f"{actor_id}: {event['event']} lies {at_ms - now_ms} ms in the future")
        self.last_at[actor_id] = at_ms
        if event["event"] == "battle:do" and payload["what"] == "timer":
            self.due[actor_id] = at_ms + payload["ms"]
        elif event["event"] == "battle:fired":
            self._fired(actor_id, payload)

    def _fired(self, actor_id: str, payload: Any) -> None:
        due = self.due.pop(actor_id, None)
        if due is None:
            self.broken.add(type(self), f"{actor_id}: a timer fired twice")
        elif payload["lateMs"] != payload["at"] - due or payload["lateMs"] < 0:
            self.broken.add(
                type(self), f"{actor_id}: due at {due}, it fired at {payload['at']}, {payload['lateMs']} ms late"
            )


@define
class ScoredOnce:
    """A battle finishes once, and its score is recorded as it was."""

    broken: Broken
    scores: dict[str, int] = Factory(dict)
    recorded: dict[str, int] = Factory(dict)

    def happened(self, actor_id: str, event: Any) -> None:
        if event["event"] == "battle:finished":
            if actor_id in self.scores:
                self.broken.add(type(self), f"{actor_id} finished twice")
            self.scores[actor_id] = event["payload"]["score"]

    def counted(self, battle_id: str, _group_id: str, score: int, _finished_at_ms: int) -> None:
        if self.scores.get(battle_id) != score:
            self.broken.add(
                type(self), f"{battle_id} was recorded with {score} instead of {self.scores.get(battle_id)}"
            )
        self.recorded[battle_id] = score

    def uncounted(self) -> list[str]:
        return [battle_id for battle_id in self.scores if battle_id not in self.recorded]


@define
class StateIsTheFold:
    """State equals the fold of the journal, byte for byte, with its snapshot and without, in memory and after it."""

    broken: Broken
    kinds: Kinds
    limits: CommandSettings

    def stored(self, actor_id: str, stored: StoredActor) -> None:
        states = {self._fold(stored, None)}
        if stored.snapshot is not None:
            states.add(self._fold(stored, stored.snapshot))
        if len(states) != 1:
            self.broken.add(type(self), f"{actor_id}: its snapshot leads elsewhere than the whole journal")

    def lives(self, actor: Actor, stored: StoredActor) -> None:
        """Nothing of it is on its way."""
        state = actor._kind.encode_state(actor._machine, actor._outcomes, actor._referee.at_ms)
        if state != self._fold(stored, None):
            self.broken.add(type(self), f"{actor.id}: what is in memory is not what the journal says")

    def _fold(self, stored: StoredActor, snapshot: Snapshot | None) -> bytes:
        kind = self.kinds.find(stored.kind, stored.mode, stored.rules_version)
        after = 0 if snapshot is None else snapshot.seq
        memory = fold(kind, Rows(snapshot, [row for row in stored.rows if row.seq > after]), self.limits)
        return kind.encode_state(memory.machine, memory.outcomes, memory.at_ms)


class NodesKeepWorking:
    """No part of a node fails in a way that nobody has foreseen."""


class PlayersGetOn:
    """Who asks is answered; and once all faults have ended, all are caught up within bounds, and nothing waits."""
