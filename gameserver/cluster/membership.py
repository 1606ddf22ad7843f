"""Who is there: every node announces itself, and keeps a view of all the others.

How long a node has been silent follows from the age of its announcement, by the directory's own clock:

    alive ── two beats missed ──► suspected ── silent for the TTL ──► dead ── a beat ──► alive

The view says where to *ask*; it never says who may write: that is the lease's business (lease_keeper.py). So a wrong
view costs a detour or a retry, and never a double owner. While the directory is away, the last view stands; when it is
back, or was wiped, everybody who was alive has the TTL to show up.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final, Literal

import structlog
import trio
from attrs import field, frozen

from gameserver.cluster.ports import Directory, NodeInfo, Sighting
from gameserver.config import ClusterSettings
from gameserver.errors import DirectoryAway

log = structlog.get_logger()

MOMENT_S: Final = 0.001
"""What is due then is over it a moment later."""

Status = Literal["alive", "suspected", "dead"]


@frozen
class Member:
    info: NodeInfo
    status: Status

    @property
    def usable(self) -> bool:
        """Whether it is worth sending something there."""
        return self.status != "dead"

    @property
    def takes_players(self) -> bool:
        return self.usable and bool(self.info.websocket_url)


@frozen
class View:
    """All nodes that were seen, by name. The version rises with every change."""

    version: int = 0
    members: Mapping[str, Member] = field(factory=dict)

    def is_dead(self, name: str) -> bool:
        """Whether it is known to be dead. Who has not been seen yet may be alive."""
        member = self.members.get(name)
        return member is not None and member.status == "dead"


class Membership:
    """`describe` gives what this node has to say of itself now."""

    def __init__(self, directory: Directory, describe: Callable[[], NodeInfo], settings: ClusterSettings) -> None:
        self._directory, self._describe, self._settings = directory, describe, settings
        self._to_tell: list[Callable[[], None]] = []
        self._announced: list[Callable[[], object]] = []
        self._said: NodeInfo | None = None
        self._look = trio.Event()
        self._seen_at: dict[str, float] = {}
        self._left: dict[str, str] = {}
        self._reachable = True
        self._keeping = trio.CancelScope()
        self.view = View()

    @property
    def me(self) -> NodeInfo:
        return self._describe()

    def on_announced(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the directory has got something new of this node; it never blocks."""
        self._announced.append(callback)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called with every new view; it never blocks."""
        self._to_tell.append(callback)

    def look(self) -> None:
        """Announce and look at once: something has changed. Never blocks."""
        self._look.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Started after the first beat, whether the directory was there or not."""
        await self._beat()
        task_status.started()
        with self._keeping:
            while True:
                with trio.move_on_after(self._pause_s()):
                    await self._look.wait()
                self._look = trio.Event()
                await self._beat()

    def _pause_s(self) -> float:
        """Until the next beat; or until a silent node may be dead, so that this is not noticed a beat later."""
        beat_s, ttl_s, now = (
            self._settings.beat_interval_ms / 1000,
            self._settings.node_ttl_ms / 1000,
            trio.current_time(),
        )
        if not self._reachable:  # nobody is found dead meanwhile
            return beat_s
        others = {name for name, member in self.view.members.items() if member.usable} - {self.me.name}
        until_dead = [self._seen_at[name] + ttl_s - now for name in others if name in self._seen_at]
        return max(MOMENT_S, min([beat_s, *until_dead]))

    def adopt_me(self) -> None:
        """What this node says of itself has changed: in its own view, that holds at once."""
        me = self.me
        self._adopt({**self.view.members, me.name: Member(me, "alive")})

    async def leave(self) -> None:
        """Tell the others at once, instead of letting them wait for the TTL; `run` ends, lest it announce us anew."""
        self._keeping.cancel()
        if self._said is not None:
            try:
                await self._directory.leave(self._said)
            except DirectoryAway as error:
                log.warning("membership.leave_unsaid", error=str(error))

    @property
    def announced_incarnation(self) -> str:
        """What the others know this node by."""
        return self._said.incarnation if self._said is not None else ""

    def farewell(self, name: str, incarnation: str) -> None:
        """This incarnation has said that it is gone; what it announced before does not bring it back."""
        member = self.view.members.get(name)
        if member is not None and member.info.incarnation == incarnation:
            self._left[name] = incarnation
            self._seen_at[name] = trio.current_time() - self._settings.node_ttl_ms / 1000
            self._adopt({**self.view.members, name: Member(member.info, "dead")})

    async def _beat(self) -> None:
        me = self.me
        try:
            sightings = await self._directory.meet(me)
        except DirectoryAway as error:
            if self._reachable:
                log.warning("membership.directory_away", error=str(error))
            self._reachable = False
            self.adopt_me()
            return
        if not self._reachable:
            self._reachable = True
            self._forgive_silence()
        self._adopt(self._seen(sightings))
        if me != self._said:
            self._said = me
            for callback in self._announced:
                callback()

    def _forgive_silence(self) -> None:
        """While the directory was away nobody could announce anything."""
        for name, member in self.view.members.items():
            if member.usable:
                self._seen_at[name] = trio.current_time()

    def _seen(self, sightings: Sequence[Sighting]) -> dict[str, Member]:
        """The members after a beat: those sighted now, and those who were, not too long ago."""
        now = trio.current_time()
        infos = {name: member.info for name, member in self.view.members.items()}
        for each in sightings:
            name = each.info.name
            if name in self._left and each.info.incarnation in ("", self._left[name]):
                continue
            self._left.pop(name, None)
            infos[name] = each.info
            self._seen_at[name] = max(self._seen_at.get(name, -inf), now - each.age_ms / 1000)
        members = {}
        for name, info in sorted(infos.items()):
            silent_ms = (now - self._seen_at[name]) * 1000 if name in self._seen_at else inf
            if silent_ms <= self._settings.forget_ms:
                members[name] = Member(info, "dead" if name in self._left else self._status(silent_ms))
        me = self.me
        members[me.name] = Member(me, "alive")
        self._seen_at = {name: at for name, at in self._seen_at.items() if name in members}
        self._left = {name: incarnation for name, incarnation in self._left.items() if name in members}
        return members

    def _status(self, silent_ms: float) -> Status:
        if silent_ms <= 2 * self._settings.beat_interval_ms:
            return "alive"
        return "suspected" if silent_ms <= self._settings.node_ttl_ms else "dead"

    def _adopt(self, members: Mapping[str, Member]) -> None:
        before = self.view.members
        if members == before:
            return
        for name in sorted(members.keys() | before.keys()):
            status = members[name].status if name in members else "gone"
            if name not in before or status != before[name].status:
                log.info("membership.changed", node=name, status=status)
        self.view = View(self.view.version + 1, members)
        for callback in self._to_tell:
            callback()
