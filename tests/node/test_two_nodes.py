"""Two nodes: any of them takes any player, and nobody notices where a battle is."""

from collections.abc import Iterator

import pytest
import trio

from tests.node.cluster import duels_on, nodes_of, worlds_of
from tests.node.conftest import MakeSettings
from tests.node.running import NodeThread
from tests.node.world import Witness

FREE = {"creation_interval_ms": 0, "attack_cooldown_ms": 0, "joins_per_period": 1_000}


@pytest.fixture(scope="module")
def nodes(node_settings: MakeSettings) -> Iterator[list[NodeThread]]:
    with nodes_of(node_settings(guards=FREE)) as running:
        yield running


async def test_players_on_both_nodes_fight_in_one_battle(nodes: list[NodeThread]) -> None:
    async with worlds_of(nodes) as worlds:
        for owner, duel in (await duels_on(worlds)).items():
            ann, dan, seen = duel.attackers[0], duel.defenders[0], [Witness(), Witness()]
            async with worlds[0].connected(ann, seen[0]) as first, worlds[1].connected(dan, seen[1]) as second:
                for player in (first, second):
                    await player.watch(duel.battle_id)
                for _ in range(5):
                    await first.attack(duel.battle_id)
                    await second.attack(duel.battle_id)
                journal = await worlds[0].journal(duel.battle_id)
                for witness in seen:
                    await witness.until_seq(duel.battle_id, journal[-1]["seq"])
                    assert witness.battle(duel.battle_id) == journal[-10:], f"owned by {owner}"
