"""Where everything that happens in a run is heard, noted, counted, and handed to the checkers that care."""

from typing import Any

from attrs import Factory, define, field

from gameserver.actors.ports import Activation, Entry
from gameserver.client.subscriptions import STATE
from gameserver.protocol.close_codes import CloseCode
from tests.simulation.checkers import (
    AcknowledgedIsDurable,
    Broken,
    Ledger,
    OncePerCommand,
    OneAnswerEach,
    ScoredOnce,
    SingleWriter,
    Streams,
    Timers,
    decode,
)
from tests.simulation.coverage import Coverage
from tests.simulation.history import History
from tests.simulation.wire import Wire

LATE_MS = 1_000


@define(eq=False)
class Conversation:
    """What was asked over one wire: event and payload by number."""

    player: str
    instance: int
    asked: dict[int, tuple[str, Any]] = Factory(dict)
    run_before: set[int] = Factory(set)
    """What had run already when it was asked for."""


@define(eq=False)
class Observers:
    history: History
    broken: Broken
    coverage: Coverage
    ledger: Ledger = Factory(Ledger)
    conversations: dict[Wire, Conversation] = Factory(dict)
    single_writer: SingleWriter = field(init=False)
    once: OncePerCommand = field(init=False)
    durable: AcknowledgedIsDurable = field(init=False)
    answers: OneAnswerEach = field(init=False)
    streams: Streams = field(init=False)
    timers: Timers = field(init=False)
    scores: ScoredOnce = field(init=False)

    def __attrs_post_init__(self) -> None:
        broken, ledger = self.broken, self.ledger
        self.single_writer, self.streams = SingleWriter(broken), Streams(broken)
        self.once, self.durable = OncePerCommand(broken, ledger), AcknowledgedIsDurable(broken, ledger)
        self.answers = OneAnswerEach(broken)
        self.timers, self.scores = Timers(broken), ScoredOnce(broken)

    # -- the store ----------------------------------------------------------------------------------------------------

    def activated(self, node: str, activation: Activation) -> None:
        self.history.note(node, f"activates {activation.actor_id} as epoch {activation.epoch} at {activation.last_seq}")
        self.single_writer.activated(node, activation)

    def landed(self, entry: Entry) -> None:
        self.single_writer.landed(entry, self.ledger.last_seq(entry.actor_id))
        self.once.landed(entry)
        for event in self.ledger.landed(entry):
            self.history.note("journal", f"{entry.actor_id} {event['seq']} in epoch {entry.epoch}: {event['event']}")
            self.coverage["late_timer"] += event["payload"].get("lateMs", 0) > LATE_MS
            self.timers.happened(entry.actor_id, event)
            self.scores.happened(entry.actor_id, event)

    # -- wires --------------------------------------------------------------------------------------------------------

    def connected(self, wire: Wire, node: str, player: str, instance: int) -> None:
        self.history.note(wire.name, f"is connected to {node}")
        self.conversations[wire] = Conversation(player, instance)

    def asked(self, wire: Wire, data: bytes) -> None:
        said, conversation = decode(data), self.conversations[wire]
        self.answers.asked(wire.name, said["id"])
        conversation.asked[said["id"]] = said["event"], said["payload"]
        name = said["payload"].get("battleId"), conversation.player, conversation.instance, said["id"]
        if name in self.ledger.outcomes:
            conversation.run_before.add(said["id"])
        if said["event"] != "ping":
            self.history.note(wire.name, f"asks {said['id']}: {said['event']} {said['payload']}")

    def said(self, wire: Wire, line: bytes) -> None:
        said = decode(line)
        if said["event"] == STATE:
            battle_id = said["payload"]["battleId"]
            self.coverage["collapsed"] += 1
            self.history.note(wire.name, f"gets the state of {battle_id} at {said['seq']}")
            self.durable.said(wire.name, battle_id, said["seq"])
            self.streams.starts_again(wire.name, battle_id, said["seq"])
        elif "seq" in said:
            battle_id = said["payload"]["battleId"]
            self.durable.said(wire.name, battle_id, said["seq"], line)
            self.streams.saw(wire.name, battle_id, said["seq"])
        elif said["event"] == "reply":
            self.answers.answered(wire.name, said["id"])
            self._replied(wire, said["id"], said["payload"])
        elif said["event"] == "error":
            code = said["payload"]["code"]
            self.answers.answered(wire.name, said["id"])
            self.coverage[f"refused: {code}"] += 1
            self.history.note(wire.name, f"is refused {said['id']}: {code}")
        elif said["event"] == "migrate":
            self.coverage["migrated"] += 1
            self.history.note(wire.name, f"is sent to {said['payload']['url']}")

    def closed(self, wire: Wire, code: CloseCode) -> None:
        self.coverage[f"closed: {code.name}"] += 1
        self.history.note(wire.name, f"is closed: {code.reason}")

    def _replied(self, wire: Wire, number: int, payload: Any) -> None:
        conversation = self.conversations[wire]
        event, asked = conversation.asked[number]
        if event == "battle:watch":
            self._watching(wire, asked["battleId"], asked.get("after"), payload)
        elif event != "ping":
            name = asked["battleId"], conversation.player, conversation.instance, number
            self.history.note(wire.name, f"is answered {number}: it ran at {payload['seq']}")
            self.coverage["answered_again"] += number in conversation.run_before
            self.durable.answered(name, payload["seq"])
            self.once.answered(name, payload["seq"])

    def _watching(self, wire: Wire, battle_id: str, after: int | None, payload: Any) -> None:
        recovered = payload.get("recovered")
        position = after if recovered and after is not None else payload["seq"]
        self.coverage["resumed"] += bool(recovered) and position < payload["seq"]
        self.coverage["resumed_from_state"] += recovered is False
        self.history.note(wire.name, f"watches {battle_id} from {position}")
        self.streams.begins(wire.name, battle_id, position)
