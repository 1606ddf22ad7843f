"""Joining, beginning and finishing a battle: commands that need facts from other actors first.

Requests of all sessions and HTTP calls gather in one queue. One task takes everything that is there, asks for the facts
and the rates of all of them in one call each, and sends each command on its way: two queries a batch, none per request.
What a request under an Idempotency-Key has caused before is one of the facts; then nothing is sent.

A join that the battle refuses does not count against the player's rate: its attempt is given back with the next batch.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial

import structlog
import trio
from attrs import frozen

from gameserver.actors.messages import Message
from gameserver.actors.ports import Accepted, Answer, Reply
from gameserver.cluster.ports import (
    BattleFacts,
    BattleKnown,
    BattleQuestion,
    Facts,
    RateQuestion,
    Rates,
    Remembered,
)
from gameserver.cluster.router import Router
from gameserver.config import ActorSettings
from gameserver.errors import JournalError, Refused
from gameserver.game.commands import Begin, Finish, Join
from gameserver.game.guards import Guards
from gameserver.ids import CommandId, IdempotencyKey, Identity, Issuer
from gameserver.protocol.session import Change

log = structlog.get_logger()


@frozen
class LifecycleCall:
    what: Change
    battle_id: str
    player_id: str
    identity: Identity | None
    reply: Reply


class Lifecycle:
    """`submit` never blocks; the reply of a call is called exactly once."""

    def __init__(
        self, router: Router, facts: Facts, rates: Rates, guards: Guards, actors: ActorSettings, issuer: Issuer
    ) -> None:
        self._router, self._facts, self._rates, self._issuer = router, facts, rates, issuer
        self._guards, self._actors = guards, actors
        self._waiting: deque[LifecycleCall] = deque()
        self._at_work: list[LifecycleCall] = []
        self._unused: deque[RateQuestion] = deque(maxlen=actors.mailbox_limit)  # one beyond that counts all the same
        self._wake = trio.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, call: LifecycleCall) -> None:
        if len(self._waiting) >= self._actors.mailbox_limit:
            call.reply(Refused("overloaded"))
            return
        self._waiting.append(call)
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                self._at_work = list(self._waiting)
                self._waiting.clear()
                if self._at_work:
                    await self._carry_out()
                if self._unused:
                    await self._give_back()
        finally:
            for call in (*self._at_work, *self._waiting):
                call.reply(Refused("node_stopping"))
            self._at_work.clear()
            self._waiting.clear()

    async def _carry_out(self) -> None:
        """Whoever is answered is no longer at work, so that nobody is answered twice."""
        calls = self._at_work
        try:
            known = await self._facts.about_battles([_about(call) for call in calls])
        except JournalError as error:
            log.warning("facts.unavailable", error=str(error), calls=len(calls))
            self._at_work = []
            for call in calls:
                call.reply(Refused("storage_unavailable"))
            return
        ready = [each for call, about in zip(calls, known, strict=True) if (each := self._ready(call, about))]
        self._at_work = [each.call for each in ready]
        waits = await self._take_rates(ready)
        self._at_work = []
        for each, wait_ms in zip(ready, waits, strict=True):
            self._send(each, wait_ms)

    def _ready(self, call: LifecycleCall, about: BattleKnown) -> "_Ready | None":
        """None if the call is answered."""
        if about.remembered is not None:
            call.reply(_recalled(call, about.remembered))
        elif about.facts is None:
            call.reply(Refused("battle_not_found"))
        else:
            return _Ready(call, about.facts, self._question(call) if call.what == "join" else None)
        return None

    def _question(self, call: LifecycleCall) -> RateQuestion:
        return RateQuestion(
            action="join",
            subject=call.player_id,
            attempt=_attempt(call) or self._issuer.new_id(),
            limit=self._guards.joins_per_period,
            period_ms=self._guards.joins_period_ms,
        )

    async def _take_rates(self, ready: Sequence["_Ready"]) -> Sequence[int | None]:
        """For each: milliseconds to wait, if it is a join too many."""
        asked = [each.rate for each in ready if each.rate is not None]
        answers = iter(await self._rates.take(asked) if asked else ())
        return [None if each.rate is None else next(answers) for each in ready]

    def _send(self, ready: "_Ready", wait_ms: int | None) -> None:
        call, facts = ready.call, ready.facts
        if wait_ms is not None:
            call.reply(Refused("join_rate_limited", retry_after_ms=wait_ms))
            return
        command: Join | Begin | Finish
        reply = call.reply
        if call.what == "join":
            command = Join(call.player_id, facts.sides)
            reply = partial(self._answer_join, ready)
        elif call.what == "begin":
            command = Begin(call.player_id, facts.owner)
        else:
            command = Finish(call.player_id, facts.owner)
        expires_at = trio.current_time() + self._actors.command_deadline_ms / 1000
        watching = call.what == "join"  # all of the player's connections get the events from then on
        self._router.send(Message(call.battle_id, command, reply, expires_at, call.identity, watching=watching))

    def _answer_join(self, ready: "_Ready", answer: Answer) -> None:
        if ready.rate is not None and isinstance(answer, Refused) and _came_to_nothing(answer):
            self._unused.append(ready.rate)
            self._wake.set()
        ready.call.reply(answer)

    async def _give_back(self) -> None:
        unused = list(self._unused)
        self._unused.clear()
        await self._rates.give_back(unused)


@frozen
class _Ready:
    """A call with the facts that it needs; a join has yet to ask whether it is one too many."""

    call: LifecycleCall
    facts: BattleFacts
    rate: RateQuestion | None


def _about(call: LifecycleCall) -> BattleQuestion:
    key = call.identity.key if isinstance(call.identity, IdempotencyKey) else None
    return BattleQuestion(call.battle_id, call.player_id, key)


def _recalled(call: LifecycleCall, remembered: Remembered) -> Answer:
    assert isinstance(call.identity, IdempotencyKey)
    try:
        return Accepted(remembered.seq, remembered.answer_to(call.identity))
    except Refused as refused:
        return refused


def _came_to_nothing(refused: Refused) -> bool:
    """Not if the same join may have been accepted before, or may still be."""
    return not refused.retryable and refused.code != "command_expired"


def _attempt(call: LifecycleCall) -> str | None:
    """The same for a retry of the same command, another for every new command, also under a number used elsewhere; None
    if it cannot be told."""
    identity = call.identity
    if isinstance(identity, CommandId):
        return f"{call.battle_id}:{identity.instance}:{identity.number}"
    if isinstance(identity, IdempotencyKey):
        return f"{call.battle_id}:{identity.key}"
    return None
