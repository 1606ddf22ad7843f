"""A stage for those who do wrong: battles in every phase and people in every role, none of which may change."""

from typing import Any

import trio
from attrs import evolve, frozen

from gameserver.ids import new_id
from gameserver.net.secrets import signing_key
from gameserver.net.tokens import Claims, Tokens
from tests.node.running import NodeThread
from tests.node.world import Duel, Person, World, eventually, world_of


@frozen
class Stage:
    """`ids` (and names) are what a bad message may name; `people` those who may send it."""

    running: NodeThread
    ids: dict[str, str]
    people: dict[str, Person]
    tokens: dict[str, str]

    def filled(self, text: str) -> str:
        """`text` with each `<name>` replaced by what goes under that name."""
        for name, each in self.ids.items():
            text = text.replace(f"<{name}>", each)
        return text

    async def untouched(self, world: World) -> dict[str, Any]:
        """All that a bad message must leave as it is: every battle in memory, and the number of all rows."""
        battles = ("pending", "lonely", "running", "finished")
        return {"rows": await world.written(), **{each: await world.inspected(self.ids[each]) for each in battles}}


async def prepare(running: NodeThread) -> Stage:
    async with world_of(running) as world:
        duels = {
            "pending": await world.duel(mode="tiring", begun=False),
            "lonely": await world.duel(mode="tiring", seated=False, begun=False),
            "finished": await world.duel(mode="tiring"),
            "running": await world.duel(mode="tiring", each=2),
        }
        await world.finish(duels["finished"])
        people = await _people(world, duels)
        async with world.connected(people["tired"]) as tired:
            await tired.attack(duels["running"].battle_id)
        for duel in duels.values():
            await eventually(lambda duel=duel: _is_settled(world, duel), "the groups know of the battle")
        names = await _names(world, duels["running"])
        return Stage(running, {**_ids(duels), **names}, people, _tokens(running, people["tired"]))


async def _people(world: World, duels: dict[str, Duel]) -> dict[str, Person]:
    running = duels["running"]
    both, unseated = await world.person(), await world.person()
    for group_id in running.groups.values():
        await world.post(both, f"/groups/{group_id}/join")
    for duel in duels.values():
        await world.post(unseated, f"/groups/{duel.groups['defender']}/join")
    return {
        "tired": running.attackers[0],
        "second": running.attackers[1],
        "fresh": running.defenders[0],
        "mate": running.defenders[1],
        "both": both,
        "unseated": unseated,
        "stranger": await world.person(),
        "fought": duels["finished"].attackers[0],
        "waiting": duels["pending"].attackers[0],
        "waiting foe": duels["pending"].defenders[0],
        "lonely": duels["lonely"].attackers[0],
    }


async def _names(world: World, duel: Duel) -> dict[str, str]:
    fresh = duel.defenders[0]
    group = await world.get(fresh, f"/groups/{duel.groups['attacker']}")
    return {"name of fresh": fresh.name, "NAME OF FRESH": fresh.name.upper(), "name of attackers": group["name"]}


def _ids(duels: dict[str, Duel]) -> dict[str, str]:
    running, pending = duels["running"], duels["pending"]
    return {
        **{name: duel.battle_id for name, duel in duels.items()},
        "nowhere": new_id(),
        "attackers": running.groups["attacker"],
        "defenders": running.groups["defender"],
        "waiting attackers": pending.groups["attacker"],
        "waiting defenders": pending.groups["defender"],
        "tired": running.attackers[0].id,
        "fresh": running.defenders[0].id,
        "RUNNING": running.battle_id.upper(),
    }


def _tokens(running: NodeThread, person: Person) -> dict[str, str]:
    """Tokens of one person that open nothing, each for another reason."""
    ours = Tokens(signing_key(running.settings), 60)
    claims = ours.claims(person.id, new_id())
    return {
        "expired": ours.issue(evolve(claims, expires_at=1)),
        "forged": Tokens("another key, of somebody else", 60).issue(Claims(person.id, new_id(), claims.expires_at)),
        "nonsense": "nonsense",
    }


async def _is_settled(world: World, duel: Duel) -> bool:
    return not (await world.inspected(duel.battle_id))["actor"]["unacknowledged_intentions"]


def prepared(running: NodeThread) -> Stage:
    """For a fixture that many tests share: these live in loops of their own."""
    return trio.run(prepare, running)
