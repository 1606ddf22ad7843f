"""Messages to actors of other nodes, and the answers that are awaited.

A request may be lost, and so may its answer. Then the deadline answers, or the end of the node or of the bus before
that: always with something that may be tried again, since the command may have taken effect. Its ID makes the next try
safe.

Most requests are answered, so nothing is done per request for those that are not: all that are unanswered are looked
over when the first of them expires, and when something is heard of that loses them.
"""

from collections.abc import Iterator
from math import inf
from typing import Final

import trio
from attrs import define
from msgspec import Struct

from gameserver.actors.messages import Message, Play, ignore
from gameserver.actors.ports import Clock, Reply
from gameserver.cluster.items import Missed, Other, Request, Response
from gameserver.cluster.links import Links
from gameserver.cluster.owners import Owners
from gameserver.config import ClusterSettings
from gameserver.errors import Refused
from gameserver.ids import CommandId
from gameserver.turns import in_turns, trio_clock

PATIENCE_S: Final = 0.05
"""Who has expired is told so within this time, together with all others who have by then."""
NOBODY_WAITS: Final = 0
ORDER_KEPT_S: Final = 1.0
"""A client that never lets up is not sent by an old way for longer than this."""

_Sequence = tuple[str, str, int]


class Requested(Message, kw_only=True):
    """A message of another node; `request` is how it came."""

    request: Request


class _Way(Struct):
    """Where a client's commands to one actor go, as long as some of them are unanswered: what comes later must not
    overtake them by another way, or the actor would take them for expired."""

    sequence: _Sequence
    node: str
    since: float
    unanswered: int = 0


class _Asked(Struct):
    message: Message
    node: str
    incarnation: str | None
    way: _Way | None


@define
class RequestCounters:
    asked: int = 0
    answered: int = 0
    expired: int = 0
    failed: int = 0


class Requests:
    def __init__(self, name: str, links: Links, owners: Owners, clock: Clock, settings: ClusterSettings) -> None:
        self._name, self._links, self._owners, self._clock = name, links, owners, clock
        self._settings, self._now_s = settings, trio_clock()
        self._asked: dict[int, _Asked] = {}
        self.ways: dict[_Sequence, _Way] = {}
        """Empty if nothing is unanswered."""
        # An answer to an earlier process of this name must not pass for one to this process.
        self._number = clock.now_ms() << 10
        self._lost_up_to = NOBODY_WAITS
        self._missed_up_to: dict[str, int] = {}
        self._look, self._look_at = trio.Event(), inf
        self.counters = RequestCounters()
        links.on(Response, self.answered)
        links.on(Missed, self._missed)

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, node: str, message: Message, *, named: bool = False) -> None:
        """Send a message to a node, which the journal has `named` as the owner, or its owner as the next one; the
        reply is called exactly once. Never blocks."""
        if len(self._asked) >= self._settings.requests_limit:
            message.reply(Refused("overloaded"))
            return
        number, now = NOBODY_WAITS, self._now_s()
        if message.reply is not ignore:
            number = self._number = self._number + 1
        if not self._links.send(node, self._request(number, message, now, named=named)):
            message.reply(self.unreachable(message.actor_id, node))
        elif number:
            self._asked[number] = _Asked(message, node, self._owners.incarnation(node), self._way(message, node, now))
            self.counters.asked += 1
            if message.expires_at + PATIENCE_S < self._look_at:
                self._look_at = message.expires_at + PATIENCE_S
                self._look.set()  # lest it be slept over

    def asking(self, message: Message) -> str | None:
        """The node that has not answered yet what came before this message, and in order."""
        sequence = _sequence(message) if self.ways else None
        way = None if sequence is None else self.ways.get(sequence)
        if way is None or way.since + ORDER_KEPT_S < self._now_s():
            return None
        return way.node

    def _way(self, message: Message, node: str, now: float) -> _Way | None:
        sequence = _sequence(message)
        if sequence is None:
            return None
        way = self.ways.get(sequence)
        if way is None or way.node != node:
            way = self.ways[sequence] = _Way(sequence, node, now)
        way.unanswered += 1
        return way

    def unreachable(self, actor_id: str, node: str | None) -> Refused:
        """The refusal that tells the client where it can go on."""
        return Refused("owner_unreachable", websocket_url=self._owners.websocket_url_at(node, actor_id))

    def _request(self, number: int, message: Message, now: float, *, named: bool) -> Request:
        command = message.command
        return Request(
            origin=self._name,
            number=number,
            hops=1,
            named=named,
            expires_at_ms=self._clock.now_ms() + round((message.expires_at - now) * 1000),
            watching=message.watching,
            actor_id=message.actor_id,
            said=command if isinstance(command, Play) else Other.of(command),
            identity=message.identity,
            birth=message.birth,
        )

    def message_of(self, request: Request, reply: Reply) -> Requested:
        """What another node asks, as a message here; nothing waits longer for its actor than it may."""
        left_ms = min(request.expires_at_ms - self._clock.now_ms(), self._settings.request_limit_ms)
        return Requested(
            actor_id=request.actor_id,
            command=request.command,
            reply=ignore if request.number == NOBODY_WAITS else reply,
            expires_at=self._now_s() + left_ms / 1000,
            identity=request.identity,
            birth=request.birth,
            request=request,
        )

    def answered(self, sender: str, response: Response) -> None:
        asked = self._take(response.number)
        if asked is None:
            return
        self.counters.answered += 1
        answer, message = response.answer, asked.message
        if isinstance(answer, Refused) and answer.retryable:
            self._owners.forget(message.actor_id)
        else:
            self._owners.learn(message.actor_id, sender)
        message.reply(answer)

    def _take(self, number: int) -> _Asked | None:
        asked = self._asked.pop(number, None)
        if asked is not None and asked.way is not None:
            asked.way.unanswered -= 1
            if asked.way.unanswered == 0:
                self._end(asked.way)
        return asked

    def _end(self, way: _Way) -> None:
        if self.ways.get(way.sequence) is way:
            del self.ways[way.sequence]

    # -- what is never answered -----------------------------------------------------------------------------------

    def fail_all(self) -> None:
        """Nobody can be reached: give up whatever was asked until now."""
        self._lost_up_to = self._number
        self._look.set()

    def bus_changed(self) -> None:
        """What was asked when the bus went may be lost, and so may what was asked of us until it came back."""
        if self._links.available:
            self._links.broadcast(Missed())
        else:
            self.fail_all()

    def _missed(self, node: str, _missed: Missed) -> None:
        """It may have heard nothing of what was asked of it until now, and nobody shall wait for the deadline."""
        self._missed_up_to[node] = self._number
        self._look.set()

    def fail_dead(self) -> None:
        """Give up what was asked of nodes that are dead, or that have died and come back since."""
        self._look.set()

    async def run(self) -> None:
        while True:
            with trio.move_on_at(self._look_at):
                await self._look.wait()
            self._look, self._look_at = trio.Event(), inf
            await in_turns(self._look_over())

    def _look_over(self) -> Iterator[None]:
        for number, asked in list(self._asked.items()):
            if number in self._asked:  # else it was answered meanwhile
                refused = self._given_up(number, asked)
                if refused is None:
                    self._look_at = min(self._look_at, asked.message.expires_at + PATIENCE_S)
                else:
                    self._take(number)
                    self._doubt(asked)
                    asked.message.reply(refused)
            yield

    def _given_up(self, number: int, asked: _Asked) -> Refused | None:
        """Why, if it is."""
        if number <= self._lost_up_to or self._was_missed(number, asked):
            self.counters.failed += 1
            return self.unreachable(asked.message.actor_id, asked.node)
        if asked.message.expires_at <= self._now_s():
            self.counters.expired += 1
            return Refused("deadline_exceeded")
        return None

    def _was_missed(self, number: int, asked: _Asked) -> bool:
        incarnation = self._owners.incarnation(asked.node)
        replaced = None not in (incarnation, asked.incarnation) and incarnation != asked.incarnation
        missed = number <= self._missed_up_to.get(asked.node, NOBODY_WAITS)
        return missed or replaced or self._owners.is_dead(asked.node)

    def _doubt(self, asked: _Asked) -> None:
        """It was not answered: whatever we believed of the actor's owner may be wrong."""
        if asked.way is not None:
            self._end(asked.way)
        self._owners.forget(asked.message.actor_id)


def _sequence(message: Message) -> _Sequence | None:
    """What a client numbers in order: its commands to one actor."""
    identity = message.identity
    return (message.actor_id, identity.player, identity.instance) if isinstance(identity, CommandId) else None
