"""Hits that watchers on other nodes shall see, and packets that get lost."""

from tests.actors.node import answers
from tests.cluster.cluster_redis import LOST

ABC = ("node-a", "node-b", "node-c")


def losing(*kinds, to=None):
    """Loses all packets with an item of these kinds."""

    def rule(_sender, whom, items):
        return LOST if to in (None, whom) and any(type(item) in kinds for item in items) else 0.0

    return rule


async def hits(cluster, battle, number=1, via="node-b"):
    return await answers([cluster[via].do(battle) for _ in range(number)])


async def sees_all(cluster, battle, *clients, within_s=3):
    """All of them have seen the battle's last event by then, without gap or double."""
    await cluster.eventually(
        lambda: all(client.has_seen(battle) == cluster.last_seq(battle) for client in clients), within_s
    )
    assert not any(client.gone for client in clients)
