"""The way to a new battle or group: facts and rates first, then the group commits, then the battle.

A battle is created by an intention (see game/group.py): once the attacking group has committed it, the battle will
come to be, even if this process dies in the next line. The caller sends the same creation itself, and is answered
when the battle's first commit is durable.
"""

import trio
from attrs import frozen

from gameserver.actors.messages import Birth, Message
from gameserver.actors.ports import Accepted, Reply
from gameserver.cluster.ask import ask
from gameserver.cluster.ports import AttackFacts, Facts, RateQuestion, Rates
from gameserver.cluster.router import Router
from gameserver.config import ActorSettings
from gameserver.errors import Refused
from gameserver.game.commands import CreateBattle, CreateGroup, IntendBattle
from gameserver.game.guards import Guards
from gameserver.game.rules import Side
from gameserver.ids import IdempotencyKey, Issuer, derived_id


@frozen
class Creation:
    """Raises Refused, StorageUnavailable; what was not refused may be repeated under the same key."""

    router: Router
    facts: Facts
    rates: Rates
    guards: Guards
    actors: ActorSettings
    issuer: Issuer

    async def group(self, group_id: str, name: str, player_id: str, key: IdempotencyKey | None) -> Accepted:
        return await self._ask(group_id, CreateGroup(group_id, name, player_id), key, Birth("group"))

    async def battle(
        self, attacker: str, defender: str, mode: str, player_id: str, key: IdempotencyKey | None
    ) -> tuple[str, Accepted]:
        """The new battle's ID, and the event of its creation if this call caused it."""
        battle_id = derived_id("battle", key.player, key.key, key.request_hash) if key else self.issuer.new_id()
        facts = await self.facts.about_attack(attacker, defender, player_id)
        if not (facts.attacker_exists and facts.defender_exists):
            raise Refused("group_not_found")
        intend = IntendBattle(battle_id, defender, mode, player_id, facts.player_in_defender, facts.defender_open)
        await self._intend(attacker, intend, key)
        create = CreateBattle(battle_id, attacker, defender, mode, player_id, _side(facts))
        return battle_id, await self._ask(battle_id, create, None, Birth("battle", mode))

    async def _intend(self, attacker: str, intend: IntendBattle, key: IdempotencyKey | None) -> None:
        """Have the group commit to the battle; what it refuses does not count as a creation of the player's."""
        question = RateQuestion("create", intend.player_id, intend.battle_id, 1, self.guards.creation_interval_ms)
        wait_ms = (await self.rates.take([question]))[0]
        if wait_ms is not None:
            raise Refused("creation_rate_limited", retry_after_ms=wait_ms)
        try:
            await self._ask(attacker, intend, key, None)
        except Refused as refused:
            if not refused.retryable:
                await self.rates.give_back([question])
            raise

    async def _ask(self, actor_id: str, command: object, key: IdempotencyKey | None, birth: Birth | None) -> Accepted:
        def send(reply: Reply) -> None:
            expires_at = trio.current_time() + self.actors.command_deadline_ms / 1000
            self.router.send(Message(actor_id, command, reply, expires_at, key, birth))

        answer = await ask(send, self.actors.command_deadline_ms)
        assert isinstance(answer, Accepted)
        return answer


def _side(facts: AttackFacts) -> Side:
    return "defender" if facts.player_in_defender else "attacker"
