"""Players who never stop attacking, whatever happens to the node, and who remember every answer that they got."""

from typing import Any

import trio
from attrs import Factory, define

from gameserver.client.errors import Disconnected, Unreachable
from gameserver.errors import Refused
from tests.node.world import Person, World, eventually


@define(eq=False)
class Fighter:
    """Attacks under rising IDs; an ID is left only when it was answered, so it may be sent many times.

    `acknowledged` are the answers, as seqs by ID; `refusals` all codes that were met.
    """

    person: Person
    battle_id: str
    acknowledged: dict[int, int] = Factory(dict)
    refusals: list[str] = Factory(list)
    next_id: int = 1
    instance: int | None = None
    resting: bool = False

    async def fight(self, world: World) -> None:
        """Until cancelled or told to rest; comes back whenever the connection is lost."""
        while not self.resting:
            try:
                async with world.connected(self.person, instance=self.instance) as player:
                    self.instance = player.hello.instance
                    await self._attack(player)
            except (Disconnected, Unreachable, Refused, OSError) as error:
                self.refusals.append(getattr(error, "code", type(error).__name__))
                await trio.sleep(0.02)

    async def _attack(self, player: Any) -> None:
        while not self.resting:
            try:
                payload = {"battleId": self.battle_id}
                answer = await player.command("battle:attack", payload, command_id=self.next_id)
            except Refused as refused:
                if not refused.retryable:
                    raise
                self.refusals.append(refused.code)
                await trio.sleep(0.02)
            else:
                self.acknowledged[self.next_id] = answer["seq"]
                self.next_id += 1


async def until_fought(fighters: list[Fighter], more: int) -> None:
    """Until each of them has had so many more answers."""
    goals = [len(fighter.acknowledged) + more for fighter in fighters]

    def reached() -> bool:
        return all(len(fighter.acknowledged) >= goal for fighter, goal in zip(fighters, goals, strict=True))

    await eventually(reached, f"{more} more answers for everybody; refused: {[f.refusals[-3:] for f in fighters]}")


async def check_nothing_lost(world: World, fighters: list[Fighter]) -> None:
    """Every acknowledged attack stands in the journal at its seq, and the journal holds no more than was asked for."""
    journal = {event["seq"]: event for event in await world.journal(fighters[0].battle_id)}
    assert sorted(journal) == list(range(1, len(journal) + 1))
    for fighter in fighters:
        theirs = [
            seq
            for seq, event in journal.items()
            if event["event"] == "battle:attack" and event["payload"]["playerId"] == fighter.person.id
        ]
        assert len(set(fighter.acknowledged.values())) == len(fighter.acknowledged)
        assert set(fighter.acknowledged.values()) <= set(theirs)
        assert len(theirs) <= fighter.next_id
