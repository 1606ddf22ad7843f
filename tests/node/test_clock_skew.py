"""A machine whose clock is wrong gets no players; the game's time is right all the same."""

import time
from typing import Any

from gameserver.cluster.clock import machine_ms
from tests.node.running import NodeThread
from tests.node.world import eventually, request

MINUTE_MS = 60_000


async def readiness(running: NodeThread) -> dict[str, Any]:
    _, _, answer = await request(running.node.http_port, "GET", "/readyz")
    assert isinstance(answer, dict)
    return answer


async def test_a_node_on_a_machine_with_a_wrong_clock_is_not_ready_and_says_why(node_settings):
    with NodeThread(node_settings()) as running:
        clock = running.node.storage.clock
        assert (await readiness(running))["ready"]
        clock._wall_ms = lambda: machine_ms() + MINUTE_MS

        async def refuses() -> bool:
            answer = await readiness(running)
            return not answer["ready"] and "this machine's clock is +" in answer["reasons"][0]

        await eventually(refuses, "the node is not ready")
        assert abs(running.call(clock.now_ms) - time.time() * 1_000) < MINUTE_MS / 2
        clock._wall_ms = machine_ms

        async def takes() -> bool:
            return bool((await readiness(running))["ready"])

        await eventually(takes, "the node is ready again")
