"""A mode that loops for ever, in a real process: its own command or battle suffers, and the node goes on."""

import time
from pathlib import Path

import pytest

from gameserver.errors import Refused
from tests.node import hung_modes
from tests.node.processes import NodeProcess

NODE = ("-m", "gameserver", "node", "--rules", str(Path(hung_modes.__file__)))
LIMIT_S = 0.25
MARGIN_S = 2
"""For a busy machine; a node that does not interrupt its rules never answers at all."""


async def code_of(player, battle_id: str, where: str) -> str:
    with pytest.raises(Refused) as refused:
        await player.command("battle:hang", {"battleId": battle_id, "where": where})
    return refused.value.code


async def test_rules_that_hang_harm_their_own_battle_and_the_node_goes_on(node_settings):
    settings = node_settings(actors={"rules_limit_ms": int(LIMIT_S * 1_000)})
    with NodeProcess(settings, NODE) as process:
        async with await process.world() as world:
            bad, good = await world.duel(mode="hanging"), await world.duel(mode="hanging")
            async with (
                world.connected(bad.attackers[0]) as hanging,
                world.connected(good.attackers[0]) as playing,
            ):
                began_at = time.monotonic()
                assert await code_of(hanging, bad.battle_id, "decide") == "rules_too_slow"
                assert LIMIT_S <= time.monotonic() - began_at < LIMIT_S + MARGIN_S
                await hanging.attack(bad.battle_id)
                await playing.attack(good.battle_id)
                codes = [await code_of(hanging, bad.battle_id, "apply") for _ in range(5)]
                assert codes == ["actor_restarting"] * 4 + ["actor_set_aside"]
                await playing.attack(good.battle_id)
            assert await process.terminated() == 0
