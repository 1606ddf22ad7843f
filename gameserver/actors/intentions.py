"""What an actor must cause in others (see game/machine.py): sent when it is durable, and again until it is answered.

The intentions themselves stand in the actor's state; here is when each was sent last. An answer comes back to the actor
as a command to itself.
"""

from collections.abc import Callable, Sequence
from functools import partial

import trio

from gameserver.actors.messages import Birth, Message, Send, ignore
from gameserver.actors.pending import Pending
from gameserver.actors.ports import Answer
from gameserver.config import ActorSettings
from gameserver.errors import Refused
from gameserver.game.machine import Intention, IntentionSettled, Machine


class Intentions:
    def __init__(
        self, actor_id: str, machine: Machine, send: Send, now_ms: Callable[[], int], limits: ActorSettings
    ) -> None:
        self._actor_id, self._machine = actor_id, machine
        self._send_message, self._now_ms, self._limits = send, now_ms, limits
        self._sent_at_ms: dict[str, int] = {}
        self._not_durable: set[str] = set()

    def names(self) -> list[str]:
        return [intention.id for intention in self._machine.intentions()]

    def retry_at_ms(self) -> int | None:
        """When the first of them shall be sent again."""
        if not self._sent_at_ms:
            return None
        return min(self._sent_at_ms.values()) + self._limits.intention_retry_ms

    def send_all(self) -> None:
        """Those that an earlier life of the actor has left."""
        for intention in self._machine.intentions():
            self._send(intention)

    def add_new_to(self, pending: Pending) -> None:
        """Have what is newly intended sent once it is durable."""
        for intention in self._machine.intentions():
            if intention.id not in self._sent_at_ms:
                self._sent_at_ms[intention.id] = self._now_ms()
                self._not_durable.add(intention.id)
                pending.attach().intentions.append(intention)

    def durable(self, intentions: Sequence[Intention]) -> None:
        for intention in intentions:
            self._not_durable.discard(intention.id)
            self._send(intention)

    def send_again(self) -> None:
        """What has not been acknowledged in time; what is not durable yet just waits on."""
        now_ms = self._now_ms()
        for intention in self._machine.intentions():
            if self._sent_at_ms.get(intention.id, 0) + self._limits.intention_retry_ms > now_ms:
                continue
            if intention.id in self._not_durable:
                self._sent_at_ms[intention.id] = now_ms
            else:
                self._send(intention)

    def settled(self, intention_id: str) -> None:
        self._sent_at_ms.pop(intention_id, None)

    def _send(self, intention: Intention) -> None:
        self._sent_at_ms[intention.id] = self._now_ms()
        birth = Birth(intention.kind, intention.mode) if intention.mode else None
        reply = partial(self._answered, intention.id)
        self._send_message(Message(intention.target, intention.command, reply, self._deadline(), birth=birth))

    def _answered(self, intention_id: str, answer: Answer) -> None:
        """By the other actor; what can be tried again stays for the next alarm."""
        refusal = None
        if isinstance(answer, Refused):
            if answer.retryable:
                return
            refusal = answer.code
        settled = IntentionSettled(intention_id, refusal)
        self._send_message(Message(self._actor_id, settled, ignore, self._deadline()))

    def _deadline(self) -> float:
        return trio.current_time() + self._limits.command_deadline_ms / 1000
