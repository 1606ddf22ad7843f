"""Joining, beginning and finishing a battle: commands that need facts from other actors first.

Requests of all sessions and HTTP calls gather in one queue. One task takes everything that is there, asks for the facts
and the rates of all of them in one call each, and sends each command on its way: two queries a batch, none per request.
"""

from collections import deque
from collections.abc import Sequence

import structlog
import trio
from attrs import frozen

from gameserver.actors.messages import Message
from gameserver.actors.ports import Reply
from gameserver.cluster.ports import BattleFacts, Facts, RateQuestion, Rates
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
        calls: list[LifecycleCall] = []
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                calls = list(self._waiting)
                self._waiting.clear()
                await self._carry_out(calls)
                calls = []
        finally:
            for call in (*calls, *self._waiting):
                call.reply(Refused("node_stopping"))
            self._waiting.clear()

    async def _carry_out(self, calls: Sequence[LifecycleCall]) -> None:
        try:
            facts = await self._facts.about_battles([(call.battle_id, call.player_id) for call in calls])
            waits = await self._take_rates(calls)
        except JournalError as error:
            log.warning("facts.unavailable", error=str(error), calls=len(calls))
            for call in calls:
                call.reply(Refused("storage_unavailable"))
            return
        for call, known, wait_ms in zip(calls, facts, waits, strict=True):
            self._send(call, known, wait_ms)

    async def _take_rates(self, calls: Sequence[LifecycleCall]) -> Sequence[int | None]:
        joins = [index for index, call in enumerate(calls) if call.what == "join"]
        waits: list[int | None] = [None] * len(calls)
        if joins:
            answers = await self._rates.take([self._question(calls[index]) for index in joins])
            for index, wait_ms in zip(joins, answers, strict=True):
                waits[index] = wait_ms
        return waits

    def _question(self, call: LifecycleCall) -> RateQuestion:
        return RateQuestion(
            action="join",
            subject=call.player_id,
            attempt=_attempt(call) or self._issuer.new_id(),
            limit=self._guards.joins_per_period,
            period_ms=self._guards.joins_period_ms,
        )

    def _send(self, call: LifecycleCall, facts: BattleFacts | None, wait_ms: int | None) -> None:
        if facts is None:
            call.reply(Refused("battle_not_found"))
            return
        if wait_ms is not None:
            call.reply(Refused("join_rate_limited", retry_after_ms=wait_ms))
            return
        command: Join | Begin | Finish
        if call.what == "join":
            command = Join(call.player_id, facts.sides)
        elif call.what == "begin":
            command = Begin(call.player_id, facts.owner)
        else:
            command = Finish(call.player_id, facts.owner)
        expires_at = trio.current_time() + self._actors.command_deadline_ms / 1000
        watching = call.what == "join"  # all of the player's connections get the events from then on
        message = Message(call.battle_id, command, call.reply, expires_at, call.identity, watching=watching)
        self._router.send(message)


def _attempt(call: LifecycleCall) -> str | None:
    """The same for a retry of the same command, another for every new command, also under a number used elsewhere; None
    if it cannot be told."""
    identity = call.identity
    if isinstance(identity, CommandId):
        return f"{call.battle_id}:{identity.instance}:{identity.number}"
    if isinstance(identity, IdempotencyKey):
        return f"{call.battle_id}:{identity.key}"
    return None
