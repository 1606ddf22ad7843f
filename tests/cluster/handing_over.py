"""Actors that move, and clients that play on meanwhile."""

import trio

from gameserver.actors.ports import Accepted
from gameserver.errors import Refused
from tests.cluster.cluster_stage import id_placed

AB, ABC = ("node-a", "node-b"), ("node-a", "node-b", "node-c")


SETTLED_S = 3.5
"""A beat, the time that a view must stand still, and a little for the hand-over itself."""


def moving(cluster, to="node-c"):
    """An ID that is node-a's until that other node comes."""
    taken = set(cluster.store.actors)
    return id_placed(to, [*(node.name for node in cluster.living), to], taken)


class Hit:
    """A command that is sent again until it is answered for good."""

    def __init__(self, node, battle, number, what="hit"):
        self.node, self.battle, self.number, self.what = node, battle, number, what
        self.answers = []

    async def run(self):
        for _ in range(60):
            answer = await self.node.do(self.battle, self.what, self.number).answer()
            if not (isinstance(answer, Refused) and answer.retryable):
                self.answers.append(answer)
                return
            await trio.sleep(0.2)


async def gives(node, actor_id, to):
    """As it does by itself when the view has changed."""
    limit = trio.CapacityLimiter(1)
    await limit.acquire_on_behalf_of(actor_id)
    await node.core.hand_over._hand_over(actor_id, to, limit)


async def play_on(cluster, battle, vias, seconds):
    """Each of these nodes hits once in a while, one command after the other, and none is given up."""
    counts = dict.fromkeys(vias, 0)
    until = trio.current_time() + seconds

    async def play(via):
        number = 0
        while trio.current_time() < until:
            number += 1
            hit = Hit(cluster[via], battle, number, f"{via} {number}")
            await hit.run()
            assert [type(answer) for answer in hit.answers] == [Accepted], f"{hit.what}: {hit.answers}"
            counts[via] = number
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        for via in vias:
            nursery.start_soon(play, via)
    return counts


async def ran_once(cluster, battle, counts):
    """What was accepted has been run once each, in each sender's order."""
    done = await cluster.living[0].done(battle)
    for via, count in counts.items():
        assert [what for what in done if what.startswith(via)] == [f"{via} {number}" for number in range(1, count + 1)]
    assert len(done) == sum(counts.values())
