"""Where to ask for an actor: at the owner, if it was heard of lately; else where placement puts it.

Nothing here is a right to own: that is the journal's business. What is out of date costs a detour, no more.
"""

from collections.abc import Iterator
from math import inf

from gameserver.cluster.membership import Membership
from gameserver.cluster.placement import place
from gameserver.cluster.ports import NodeInfo
from gameserver.config import ClusterSettings
from gameserver.turns import trio_clock


class Owners:
    def __init__(self, name: str, membership: Membership, settings: ClusterSettings) -> None:
        self.here, self._membership, self._settings = name, membership, settings
        self._memory_s, self._now_s = settings.owner_memory_ms / 1000, trio_clock()
        self._learned: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._learned)

    # -- learned ------------------------------------------------------------------------------------------------------

    def learn(self, actor_id: str, owner: str) -> None:
        """This node was heard of as the owner just now, give or take a tenth of the time for which that is believed."""
        until = self._now_s() + self._memory_s
        known, known_until = self._learned.get(actor_id, ("", -inf))
        if owner == known and until - known_until < self._memory_s / 10:
            return
        self._learned.pop(actor_id, None)  # so that the oldest stand first
        if owner != self.here:
            self._learned[actor_id] = owner, until
            if len(self._learned) > self._settings.owners_limit:
                del self._learned[next(iter(self._learned))]

    def forget(self, actor_id: str) -> None:
        self._learned.pop(actor_id, None)

    def learned(self, actor_id: str) -> str | None:
        """A node other than this one, and not known to be dead."""
        owner, until = self._learned.get(actor_id, ("", -inf))
        if until < self._now_s() or self._membership.view.is_dead(owner):
            return None
        return owner

    # -- placement ----------------------------------------------------------------------------------------------------

    def place(self, actor_id: str, rules: str | None = None, but: tuple[str | None, str] = (None, "")) -> str | None:
        """Where an actor without a live owner shall come to life; with `rules` ("kind/mode/version"), among the nodes
        that can fold them. `but` names a process, by node and incarnation, that PostgreSQL knows to be gone, whatever
        the view says."""
        candidates = (
            info.name
            for info in self.owning()
            if (rules is None or rules in info.rules) and (info.name, info.incarnation) != but
        )
        return place(actor_id, candidates)

    def where(self, actor_id: str) -> str | None:
        return self.learned(actor_id) or self.place(actor_id)

    @property
    def me(self) -> NodeInfo:
        return self._membership.me

    @property
    def takes_actors_here(self) -> bool:
        return self.me.owning

    @property
    def has_actors_role(self) -> bool:
        return "actors" in self.me.roles

    def owning(self) -> Iterator[NodeInfo]:
        """The nodes that take actors."""
        for member in self._membership.view.members.values():
            if member.usable and member.info.owning:
                yield member.info

    # -- addresses ----------------------------------------------------------------------------------------------------

    def is_dead(self, node: str) -> bool:
        return self._membership.view.is_dead(node)

    def incarnation(self, node: str) -> str | None:
        member = self._membership.view.members.get(node)
        return None if member is None else member.info.incarnation

    def websocket_url_at(self, node: str | None, actor_id: str) -> str | None:
        """Where clients of the actor reach it at this other node, if it takes any.

        A balancer that hashes on the battle finds its ID where the URL says `{battle}`.
        """
        member = self._membership.view.members.get(node or "")
        if member is None or node == self.here:
            return None
        return member.info.websocket_url.replace("{battle}", actor_id) or None

    def websocket_url(self, actor_id: str, owner: str | None) -> str | None:
        """Where clients of the actor shall connect: at its owner, or, if that takes none, always at the same node."""
        members = self._membership.view.members
        if owner is None or owner not in members or not members[owner].info.websocket_url:
            owner = place(actor_id, [name for name, member in members.items() if member.takes_players])
        return None if owner is None else members[owner].info.websocket_url.replace("{battle}", actor_id)
