"""Leaving in good order: a node that is drained gives its actors away, and tells its players where to go on.

    asked: by SIGTERM or an operator → not ready, no new players → actors handed over → clients told to migrate → gone

Commands that come meanwhile are passed on to the new owners. The word to migrate names a node, the new owner of what
the client watches if there is one, and a delay: a thousand players shall not arrive all in the same moment. Who is
still here when the grace is over is closed like everybody whose node stops: come back, to any.
"""

from functools import partial
from random import Random

import structlog
import trio

from gameserver.cluster.hand_over import HandOver
from gameserver.cluster.items import DrainAsked
from gameserver.cluster.links import Links
from gameserver.cluster.membership import Membership
from gameserver.cluster.myself import Myself
from gameserver.cluster.router import Router
from gameserver.cluster.sessions import Sessions
from gameserver.config import NodeSettings
from gameserver.protocol.session import Session
from gameserver.turns import in_turns

log = structlog.get_logger()


class Drain:
    """`asked` is set once somebody has asked for it; then whoever holds the node calls `run`, and ends the node."""

    def __init__(
        self,
        myself: Myself,
        membership: Membership,
        links: Links,
        router: Router,
        sessions: Sessions,
        hand_over: HandOver,
        settings: NodeSettings,
        dice: Random,
    ) -> None:
        self._myself, self._membership, self._links, self._router = myself, membership, links, router
        self._sessions, self._hand_over, self._settings, self._dice = sessions, hand_over, settings, dice
        self.asked = trio.Event()
        links.on(DrainAsked, lambda _sender, _asked: self.asked.set())

    def ask(self, node: str) -> bool:
        """Have this node or another one drained; False if it is not known to be alive, or cannot be reached."""
        if node == self._myself.name:
            self.asked.set()
            return True
        member = self._membership.view.members.get(node)
        return member is not None and member.usable and self._links.send(node, DrainAsked())

    async def run(self) -> None:
        """Until this node has neither actors that another one takes, nor players, or the grace is over."""
        await self.give_actors_away()
        told: list[Session] = []
        await in_turns(map(partial(self._tell, told), list(self._sessions)))
        if not told:
            return
        log.info("node.migrating", players=len(told))
        with trio.move_on_after(self._settings.drain_grace_ms / 1_000):
            await self._sessions.emptied()

    async def give_actors_away(self) -> None:
        """What another node takes, and in half the time that a stop may take. The others know before it begins."""
        self._myself.leaving = True
        self._membership.adopt_me()
        self._membership.look()
        with trio.move_on_after(self._settings.stop_deadline_ms / 2 / 1_000):
            await self._hand_over.leave()

    def _tell(self, told: list[Session], session: Session) -> None:
        """If there is a node for it to go to."""
        url = self._router.websocket_url(next(reversed(session.watching), session.identified.player_id))
        if url is not None:
            delay_ms = self._dice.randrange(self._settings.drain_spread_ms + 1)
            session.send_json({"event": "migrate", "payload": {"url": url, "delayMs": delay_ms}})
            told.append(session)
