"""What happens to battles, for listeners outside of the cluster, and for the nodes where a player is connected, too.

The channels `battle:begin`, `battle:join` and `battle:finished` carry the public events of these names, byte for byte
as clients get them. They come once, from the battle's owner, or never, if nobody listened just then.
"""

from typing import Any, Final

from gameserver.actors.ports import Committed
from gameserver.cluster.links import Links
from gameserver.cluster.ports import Bus
from gameserver.cluster.watches import Watches
from gameserver.codec import decode
from gameserver.game.battle import Finished
from gameserver.game.rules import Begun, Joined

CHANNELS: Final[dict[type, str]] = {Begun: "battle:begin", Joined: "battle:join", Finished: "battle:finished"}


class LifecycleChannels:
    """One of the audience of all actors' commits (see actors/ports.py)."""

    def __init__(self, bus: Bus, links: Links, watches: Watches) -> None:
        self._links, self._watches = links, watches
        bus.subscribe(CHANNELS[Joined], self._joined)

    def committed(self, batch: Committed) -> None:
        for event, line in zip(batch.events, batch.lines, strict=True):
            channel = CHANNELS.get(type(event))
            if channel is not None:
                self._links.publish(channel, line)

    def flush(self) -> None:
        """Links send by themselves."""

    def _joined(self, line: bytes) -> None:
        """Joining subscribes the player's connections on all nodes; those of the battle's owner know already."""
        event: dict[str, Any] = decode(line)
        payload = event["payload"]
        self._watches.subscribe(payload["battleId"], payload["playerId"], event["seq"] - 1)
