"""What happens to battles, for listeners outside of the cluster; and who has joined, for the other nodes.

The channels `battle:begin`, `battle:join` and `battle:finished` carry the public events of these names, byte for byte
as clients get them. They come once, from the battle's owner, or never, if nobody listened just then. Anybody may
publish there, so nodes do not listen to them: they tell each other.
"""

from collections.abc import Iterator
from typing import Final

from gameserver.actors.ports import Committed
from gameserver.cluster.items import PlayerJoined
from gameserver.cluster.links import Links
from gameserver.cluster.watches import Watches
from gameserver.game.battle import Finished
from gameserver.game.rules import Begun, Joined
from gameserver.turns import Walk

CHANNELS: Final[dict[type, str]] = {Begun: "battle:begin", Joined: "battle:join", Finished: "battle:finished"}


class LifecycleChannels:
    """One of the audience of all actors' commits (see actors/ports.py)."""

    def __init__(self, links: Links, watches: Watches) -> None:
        self._links, self._watches = links, watches
        links.on(PlayerJoined, self._joined)

    def begin(self) -> None:
        """Links gather by themselves."""

    def committed(self, batch: Committed) -> Walk:
        return self._publish(batch) if batch.milestones else ()

    def _publish(self, batch: Committed) -> Iterator[None]:
        for seq, event in batch.milestones:
            self._links.publish(CHANNELS[type(event)], batch.lines[seq - batch.first_seq])
            if type(event) is Joined:
                self._links.broadcast(PlayerJoined(batch.actor_id, event.player_id, seq))
            yield

    def flush(self) -> Walk:
        """Links send by themselves."""
        return ()

    def _joined(self, _: str, joined: PlayerJoined) -> None:
        """Joining subscribes the player's connections on all nodes."""
        self._watches.subscribe(joined.battle_id, joined.player_id, joined.seq - 1)
