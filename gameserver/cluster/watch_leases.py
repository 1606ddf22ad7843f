"""The owner's side of watches from other nodes: who gets the events of a battle, and for how long.

A lease is of a node, not of a player: events cross once per node, and fan out there. It begins with an answer to the
node (see router.py) or with a renewal, and ends when it was not renewed in time. It outlives the battle's actor; a node
that becomes a battle's owner tells everybody, so that those who watch renew with it at once.

What is lost on the way is found by the next renewal: it says how far the watching node has come, and whoever is behind
is told where the battle is. Between two nodes nothing overtakes: what was sent before that has arrived, or was lost.
"""

from collections.abc import Iterator

import trio

from gameserver.actors.catalog import Catalog
from gameserver.actors.ports import Committed
from gameserver.cluster.items import Activated, Events, NotHere, Watching
from gameserver.cluster.links import Links
from gameserver.config import ClusterSettings
from gameserver.turns import Walk


class WatchLeases:
    """One of the audience of all actors' commits (see actors/ports.py). The lease granted last stands last."""

    def __init__(self, name: str, links: Links, settings: ClusterSettings) -> None:
        self._name, self._links, self._lease_s = name, links, settings.watch_lease_ms / 1000
        self._leases: dict[str, dict[str, float]] = {}

    def __len__(self) -> int:
        return sum(len(leases) for leases in self._leases.values())

    def grant(self, battle_id: str, node: str) -> None:
        """From now on the node gets the battle's events; for as long as it renews."""
        if node == self._name:
            return
        now = trio.current_time()
        leases = self._leases.pop(battle_id, {})
        self._leases[battle_id] = {**leases, node: now + self._lease_s}
        oldest = next(iter(self._leases))
        if max(self._leases[oldest].values()) < now:
            del self._leases[oldest]

    def begin(self) -> None:
        """Links gather by themselves."""

    def committed(self, batch: Committed) -> Walk:
        """All at once: whoever renews from the next step on is told how far the actor has come."""
        if batch.kind == "battle":
            self._pass_on(batch)
        return ()

    def flush(self) -> Walk:
        """Links send by themselves."""
        return ()

    def _pass_on(self, batch: Committed) -> None:
        if not batch.lines:
            self._links.broadcast(Activated(batch.actor_id, batch.seq))
        nodes = self._watching(batch.actor_id)
        if nodes:
            self._links.send_all(nodes, Events.of(batch))

    def _watching(self, battle_id: str) -> list[str]:
        """The nodes whose leases still hold; the others end here."""
        leases = self._leases.get(battle_id)
        if leases is None:
            return []
        now = trio.current_time()
        for node in [node for node, until in leases.items() if until < now]:
            del leases[node]
        if not leases:
            del self._leases[battle_id]
        return list(leases)


class WatchAnswers:
    """What a node hears when it renews its watches: where the battles are of which it has not seen everything, and
    which of them are not here. Even if there are none, so that it knows that it was heard."""

    def __init__(self, catalog: Catalog, leases: WatchLeases, links: Links) -> None:
        self._catalog, self._leases, self._links = catalog, leases, links
        links.on(Watching, self._renewed)

    def _renewed(self, node: str, watching: Watching) -> Iterator[None]:
        not_here = []
        for battle_id, seen_seq in watching.seen:
            seq = self._catalog.durable_seq(battle_id)
            if seq is None:
                not_here.append(battle_id)
            else:
                self._leases.grant(battle_id, node)
                if seen_seq < seq:
                    self._links.send(node, Events(battle_id, seq + 1))
            yield
        self._links.send(node, NotHere(tuple(not_here)))
