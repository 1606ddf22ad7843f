"""The game in the README: the very text that is printed there is loaded as a rules file and played to its end."""

import re
from pathlib import Path

import pytest

from gameserver.errors import Refused
from gameserver.game.rules import Begun, Dice, Rules, TimeUp
from gameserver.rule_files import load_rules
from tests.node.running import NodeThread
from tests.node.world import Witness, eventually, world_of

README = Path(__file__).parents[2] / "README.md"
GAME = re.compile(r"<!-- (\S+\.py): a test plays this very text -->\n```python\n(.*?)```", re.DOTALL)
ENOUGH = 20


@pytest.fixture
def dragon(tmp_path: Path) -> Rules:
    """The README's rules, as `--rules` would load them."""
    name, text = GAME.search(README.read_text("utf-8")).groups()
    (tmp_path / name).write_text(text, "utf-8")
    return next(rules for rules in load_rules(tmp_path / name) if rules.mode == "dragon")


def test_the_game_in_the_readme_is_complete_in_under_sixty_lines():
    _, text = GAME.search(README.read_text("utf-8")).groups()
    assert len(text.splitlines()) < 60
    assert max(len(line) for line in text.splitlines()) <= 120


async def test_the_game_in_the_readme_is_played_to_its_end(node_settings, dragon):
    with NodeThread(node_settings(websocket={"messages_per_second": 0}), [dragon]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="dragon")
            thief, rival = duel.attackers[0], duel.defenders[0]
            async with (
                world.connected(thief, mine := Witness()) as player,
                world.connected(rival, theirs := Witness()) as other,
            ):
                await player.watch(duel.battle_id)
                shown = (await other.watch(duel.battle_id))["state"]["play"]
                assert shown["hidden"] == {"attacker": 0, "defender": 0}
                with pytest.raises(Refused, match="nothing in your sack") as refused:
                    await loot(player, duel.battle_id, hide=True)
                assert (refused.value.code, refused.value.retryable) == ("empty_sack", False)
                await steal_until_rich(player, duel.battle_id, mine)
                finished = (await theirs.until("battle:finished"))["payload"]
            assert (finished["winnerGroupId"], finished["reason"]) == (duel.groups["attacker"], "rich")
            assert finished["players"] == {thief.id: finished["score"], rival.id: 0}
            assert finished["score"] >= ENOUGH
            assert [event["seq"] for event in theirs.of("battle:loot")] == [
                event["seq"] for event in mine.of("battle:loot")
            ]
            await eventually(lambda: leads(world, duel, finished["score"]), "the thieves lead the leaderboard")


async def loot(player, battle_id: str, *, hide: bool) -> int:
    return (await player.command("battle:loot", {"battleId": battle_id, "hide": hide}))["seq"]


async def steal_until_rich(player, battle_id: str, seen: Witness) -> None:
    """Hides whatever it got at once: no thief ever won by greed."""
    while not seen.of("battle:finished"):
        seq = await loot(player, battle_id, hide=False)
        await seen.until_seq(battle_id, seq)
        if seen.of("battle:loot")[-1]["payload"]["sack"]:
            await seen.until_seq(battle_id, await loot(player, battle_id, hide=True))
        if seen.of("battle:loot")[-1]["payload"]["hidden"] >= ENOUGH:
            await seen.until("battle:finished")


async def leads(world, duel, score: int) -> bool:
    answer = await world.get(duel.attackers[0], "/leaderboards?window=24h")
    return [(row["group_id"], row["score"]) for row in answer] == [(duel.groups["attacker"], score)]


def test_at_dawn_the_game_in_the_readme_ends_and_a_tie_is_the_defenders(dragon):
    state = dragon.fresh()
    dragon.apply(state, Begun("somebody", 1_000))
    dawn = dragon.deadline(state)
    assert dawn == 61_000
    (stopped,) = dragon.decide(state, TimeUp(), dawn + 5, Dice("seed", 3))
    assert (stopped.reason, stopped.late_ms) == ("dawn", 5)
    assert dragon.result(state) is None
    dragon.apply(state, stopped)
    assert (dragon.result(state).winner, dragon.result(state).score) == ("defender", 0)
