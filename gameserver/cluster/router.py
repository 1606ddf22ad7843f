"""Where a message goes: to the actor's owner, here or on another node.

    in memory here ───────────────────────────────► its mailbox
    its owner, if we heard of one lately; else placement ──► another node: a request  (it may send it on, once)
                                                     └────► here: activate; if the journal names another owner: there

The journal decides who owns (see actors/catalog.py). Views that differ, and owners that have moved, cost a detour: a
request follows beliefs at most HOPS_LIMIT times. Then only the journal's word counts, or that of an owner who gives the
actor away: who is named so looks no further, and activates the actor, unless it has been given away meanwhile. After
LAST_HOP the request is refused, to be tried again.

While the bus is away, an owner that we heard of lately cannot be reached, and the refusal says so at once. Any other
actor is activated here, if the journal agrees; so play goes on.
"""

from functools import partial
from typing import Final

from msgspec.structs import replace

from gameserver.actors.catalog import Catalog
from gameserver.actors.kinds import Kinds
from gameserver.actors.messages import Message
from gameserver.actors.ports import Accepted, Answer, Sleeper
from gameserver.cluster.items import Request, Response
from gameserver.cluster.links import Links
from gameserver.cluster.owners import Owners
from gameserver.cluster.requests import Requested, Requests
from gameserver.cluster.watch_leases import WatchLeases
from gameserver.config import ActorSettings
from gameserver.errors import Refused
from gameserver.ids import CommandId

HOPS_LIMIT: Final = 2
LAST_HOP: Final = 4


class Router:
    """Implements the catalog's Neighbours."""

    def __init__(
        self,
        kinds: Kinds,
        catalog: Catalog,
        owners: Owners,
        requests: Requests,
        links: Links,
        leases: WatchLeases,
        settings: ActorSettings,
    ) -> None:
        self._kinds, self._catalog, self._owners = kinds, catalog, owners
        self._requests, self._links, self._leases, self._settings = requests, links, leases, settings
        links.on(Request, self._hear)
        catalog.join(self)

    def send(self, message: Message) -> None:
        """Deliver, without waiting. The message's reply is called exactly once, also if no node can take it."""
        if not self._requests.ways and self._catalog.deliver_if_held(message):  # mostly so
            return
        node = self._target(message)
        if node == self._owners.here:
            self._catalog.deliver(message)
        elif node is None:
            message.reply(self._requests.unreachable(message.actor_id, node))
        else:
            self._requests.ask(node, message)

    def _target(self, message: Message, sender: str | None = None) -> str | None:
        """The node to ask; None if there is none. Whoever has just sent it here is not its owner."""
        owners, actor_id, birth = self._owners, message.actor_id, message.birth
        asking = self._requests.asking(message)
        if asking is not None and asking != sender:
            return asking
        if self._catalog.holds(actor_id):
            return owners.here
        learned = owners.learned(actor_id)
        if learned is not None and learned != sender:
            return learned
        if not self._links.available and owners.takes_actors_here:
            return owners.here
        rules = None if birth is None else self._kinds.newest_rules(birth.kind, birth.mode)
        place = owners.place(actor_id, rules)
        if place is None and owners.has_actors_role:  # without any place PostgreSQL is away, and is to blame
            return owners.here
        return place

    def websocket_url(self, actor_id: str) -> str | None:
        """Where clients of the actor shall connect."""
        owner = self._owners.here if self._catalog.holds(actor_id) else self._owners.where(actor_id)
        return self._owners.websocket_url(actor_id, owner)

    # -- from other nodes ------------------------------------------------------------------------------------------

    def _hear(self, sender: str, request: Request) -> None:
        message = self._requests.message_of(request, partial(self._respond, request))
        node = self._target(message, sender)
        if (request.named or request.hops >= HOPS_LIMIT) and self._owners.has_actors_role:
            node = self._owners.here
        if node == self._owners.here:
            self._catalog.deliver(message)
        elif node is None or request.hops >= HOPS_LIMIT:
            message.reply(self._requests.unreachable(request.actor_id, node))
        else:
            self._send_on(message, node)

    def _respond(self, request: Request, answer: Answer) -> None:
        """Before the events that follow: from here on the asking node gets them, too."""
        if request.watching and not isinstance(answer, Exception):
            self._leases.grant(request.actor_id, request.origin)
        if isinstance(answer, Accepted) and isinstance(request.identity, CommandId):
            answer = Accepted(answer.seq)  # clients that number their commands get the event by watching
        response = Response.of(request.number, answer)
        if request.origin == self._owners.here:  # it came back to us by a detour
            self._requests.answered(self._owners.here, response)
        else:
            self._links.send(request.origin, response)

    def _send_on(self, message: Requested, node: str, *, named: bool = False) -> None:
        """The answer goes to where it came from first, and not by way of us."""
        request = message.request
        if not self._links.send(node, replace(request, hops=request.hops + 1, named=named)):
            message.reply(self._requests.unreachable(request.actor_id, node))

    # -- from the catalog: actors that belong to other nodes ---------------------------------------------------------

    def pass_on(self, message: Message, owner: str) -> None:
        self._owners.learn(message.actor_id, owner)
        if not self._links.available or self._owners.is_dead(owner):
            message.reply(self._requests.unreachable(message.actor_id, owner))
        elif not isinstance(message, Requested):
            self._requests.ask(owner, message, named=True)
        elif message.request.hops < LAST_HOP:
            self._send_on(message, owner, named=True)
        else:
            message.reply(self._requests.unreachable(message.actor_id, owner))

    def pass_on_to_who_knows(self, message: Message, rules: str) -> None:
        node = self._owners.place(message.actor_id, rules)
        if node is None or node == self._owners.here:
            message.reply(Refused("rules_version_unknown", f"No live node knows {rules}."))
        else:
            self.pass_on(message, node)

    def belongs_here(self, sleeper: Sleeper, now_ms: int) -> bool:
        """It is ours, its place is here, or whose place it is has not woken it for long."""
        me = self._owners.me
        if not me.owning:
            return False
        if (sleeper.owner, sleeper.incarnation) == (me.name, me.incarnation):
            return True  # nobody else can
        place = self._owners.place(sleeper.actor_id, sleeper.rules, but=(sleeper.owner, sleeper.incarnation))
        return place == self._owners.here or now_ms - sleeper.wake_at_ms > self._settings.wake_patience_ms
