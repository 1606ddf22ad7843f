"""The battles whose events a player gets: each event once and in order, over however many connections they come.

A stream takes only the event that follows the last one. What comes again is dropped; where one is missing, because the
connection is another one or nobody has read for too long, the server is asked for all that follows the last one. If it
no longer has that, or pushes the battle's present state because the client was too slow for its events, the stream goes
on from there, and says so with a RESTART.
"""

from functools import partial
from typing import Any, Final

import trio
from attrs import define

from gameserver.client.connection import Event
from gameserver.client.errors import Disconnected
from gameserver.client.inbox import Inbox
from gameserver.client.kept_connection import KeptConnection
from gameserver.client.limits import PlayerLimits
from gameserver.client.link import Link
from gameserver.client.pauses import Dice, retry_pause_s
from gameserver.errors import GameServerError, Refused

RESTART: Final = "client:restart"
"""Events were missed for good: `seq` and the payload's `state` are what the battle's next events follow."""

STATE: Final = "battle:state"
"""Pushed instead of events: the state at `seq`."""

UNWATCHED: Final = "client:unwatched"
"""No more events of this battle will come, for the reason that the payload's `code` gives."""

CLOSINGS: Final = 2
"""The last events of a battle: each group has heard of its end."""


@define(eq=False)
class Stream:
    battle_id: str
    last_seq: int
    finished: bool = False
    closings: int = 0
    behind: bool = False
    """The server has to be asked for what follows `last_seq`; a task does so as long as this is true."""
    due: int | None = None
    """What the present connection brings next, if the server keeps its word; None: whatever it begins with."""

    @property
    def over(self) -> bool:
        return self.closings >= CLOSINGS

    def note(self, event: Event) -> None:
        self.last_seq = event["seq"]
        if event["event"] == "battle:finished":
            self.finished = True
        elif event["event"] == "battle:settled":
            self.closings += str(event["payload"].get("intentionId")).startswith("close:")


class Subscriptions:
    def __init__(self, inbox: Inbox, limits: PlayerLimits, dice: Dice) -> None:
        self._inbox, self._limits, self._dice = inbox, limits, dice
        self.out_of_step = 0
        self._streams: dict[str, Stream] = {}
        self._kept: KeptConnection
        self._nursery: trio.Nursery

    def open(self, kept: KeptConnection, nursery: trio.Nursery) -> None:
        self._kept, self._nursery = kept, nursery

    def last_seq(self, battle_id: str) -> int | None:
        stream = self._streams.get(battle_id)
        return None if stream is None else stream.last_seq

    @property
    def unfinished(self) -> bool:
        """Whether there is a battle whose last event has not come yet."""
        return any(not stream.over for stream in self._streams.values())

    @property
    def behind(self) -> bool:
        """Whether the server has yet to say what follows in one of the battles."""
        return any(stream.behind for stream in self._streams.values())

    def take(self, link: Link, event: Event) -> None:
        """An event with a `seq`."""
        battle_id, seq = event["payload"]["battleId"], event["seq"]
        stream = self._streams.get(battle_id) or self._begin(battle_id, seq - 1)
        if stream is None:
            return
        if link is self._kept.current:
            self.out_of_step += stream.due is not None and _out_of_step(event, stream.due)
            stream.due = seq + 1
        if seq <= stream.last_seq:
            return
        if event["event"] == STATE:
            taken = link is self._kept.current and self._restart(stream, seq, event["payload"]["state"])
        else:
            taken = seq == stream.last_seq + 1 and self._take_next(stream, event)
        if not taken:
            self._catch_up(stream)

    def _take_next(self, stream: Stream, event: Event) -> bool:
        taken = self._inbox.put(event)
        if taken:
            stream.note(event)
        return taken

    def connected(self) -> None:
        """Another connection has taken over, and knows of nothing."""
        for stream in self._streams.values():
            stream.due = None
            if not stream.over:
                self._catch_up(stream)

    # -- what answers say -----------------------------------------------------------------------------------------

    def watched(self, link: Link, battle_id: str, after: int | None, answer: Any) -> None:
        """The player's own watch was answered; call this before any event that follows the answer."""
        seq = answer["seq"]
        known = self._streams.get(battle_id)
        stream = known or self._begin(battle_id, after if after is not None and answer.get("recovered") else seq)
        if stream is None:
            return
        stream.finished |= _is_finished(answer)
        if link is self._kept.current:
            stream.due = _due(after, answer)
        if link is not self._kept.current or (known is not None and stream.last_seq < seq):
            self._catch_up(stream)

    def joined(self, link: Link, battle_id: str, answer: Any, *, again: bool) -> None:
        """The server sends the events of a battle to who joins it; but not those from before the answer to one who has
        asked `again`."""
        stream = self._streams.get(battle_id) or self._begin(battle_id, answer["seq"] - 1)
        if stream is not None and (again or link is not self._kept.current):
            self._catch_up(stream)

    def _begin(self, battle_id: str, last_seq: int) -> Stream | None:
        """None if there are too many already."""
        if not self.has_room(battle_id):
            return None
        if len(self._streams) >= self._limits.battles:
            del self._streams[self._done()[0]]
        stream = self._streams[battle_id] = Stream(battle_id, last_seq)
        return stream

    def has_room(self, battle_id: str) -> bool:
        return battle_id in self._streams or len(self._streams) < self._limits.battles or bool(self._done())

    def _done(self) -> list[str]:
        """Battles that can be forgotten, first those of which nothing more will come."""
        finished = [stream for stream in self._streams.values() if stream.finished]
        return [stream.battle_id for stream in sorted(finished, key=lambda stream: not stream.over)]

    # -- catching up ----------------------------------------------------------------------------------------------

    def _catch_up(self, stream: Stream) -> None:
        if not stream.behind:
            stream.behind = True
            self._nursery.start_soon(self._ask, stream)

    async def _ask(self, stream: Stream) -> None:
        """Until the present connection sends what follows; it may change meanwhile."""
        tries = 0
        while stream.behind and self._streams.get(stream.battle_id) is stream:
            await self._inbox.room()
            try:
                link = await self._kept.link()
            except GameServerError:  # the end; the player says so
                return
            try:
                await self._watch(link, stream)
            except Disconnected:
                continue
            except Refused as refused:
                if not refused.retryable and refused.code != "watch_replaced":
                    await self._give_up(stream, refused)
                    return
                limits = self._limits
                pause_s = retry_pause_s(refused, tries, limits.retry_pause_ms, limits.retry_pause_max_ms, self._dice)
                await trio.sleep(pause_s)
                tries += 1

    async def _watch(self, link: Link, stream: Stream) -> None:
        hear = partial(self._caught_up, link, stream, stream.last_seq)
        payload = {"battleId": stream.battle_id, "after": stream.last_seq}
        number = self._kept.numbers.next_id()
        await link.connection.command("battle:watch", payload, command_id=number, hear=hear)

    def _caught_up(self, link: Link, stream: Stream, after: int, answer: Any) -> None:
        if link is not self._kept.current:
            return
        seq, stream.due = answer["seq"], _due(after, answer)
        known = answer.get("recovered") or after <= seq <= stream.last_seq
        if known or self._restart(stream, seq, answer["state"]):
            stream.behind = False

    def _restart(self, stream: Stream, seq: int, state: Any) -> bool:
        """Go on from this state; False if there is no room to say so."""
        payload = {"battleId": stream.battle_id, "state": state}
        if not self._inbox.put({"event": RESTART, "seq": seq, "payload": payload}):
            return False
        stream.last_seq = seq
        stream.finished |= state["state"] == "finished"
        return True

    async def _give_up(self, stream: Stream, refused: Refused) -> None:
        if self._streams.get(stream.battle_id) is stream:
            del self._streams[stream.battle_id]
        payload = {"battleId": stream.battle_id, "code": refused.code}
        while not self._inbox.put({"event": UNWATCHED, "payload": payload}):
            await self._inbox.room()


def _due(after: int | None, answer: Any) -> int:
    """The event that a connection brings first after this answer to a watch."""
    return 1 + (after if after is not None and answer.get("recovered") else int(answer["seq"]))


def _out_of_step(event: Event, due: int) -> bool:
    """A state may leave out events, and none may come again."""
    return bool(event["seq"] < due if event["event"] == STATE else event["seq"] != due)


def _is_finished(answer: Any) -> bool:
    return bool(answer.get("state", {}).get("state") == "finished")
