"""Carries out what a run's faults have in store, and ends it all again."""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import trio
from attrs import Factory, define

from gameserver.actors.ports import Activation
from gameserver.errors import StorageUnavailable
from tests.cluster.cluster_node import ClusterNode
from tests.cluster.cluster_redis import FaultyHub
from tests.cluster.cluster_storage import LeasedJournal
from tests.contracts.memory_journal import Lost
from tests.simulation.coverage import Coverage
from tests.simulation.faults import EVERYBODY, Faults, Trouble

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

SLOW_S = 0.4


@define(eq=False)
class Troubles:
    world: "Simulation"
    dice: Random
    partitions: list[tuple[str, str]] = Factory(list)
    """(sender, receiver) of what is lost at present."""
    arrivals: dict[tuple[str, str], float] = Factory(dict)
    """When the last packet arrives, by sender and receiver."""
    answers_lost: list[Lost] = Factory(list)
    """Commits that have landed, and of which nobody knows yet."""
    goes_wrong: bool = False
    nursery: trio.Nursery | None = None

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @property
    def coverage(self) -> Coverage:
        return self.world.coverage

    def note(self, what: str) -> None:
        self.coverage[what] += 1

    async def run(self) -> None:
        self.goes_wrong = True
        async with trio.open_nursery() as self.nursery:
            for trouble in self.faults.troubles:
                await trio.sleep(trouble.after_s)
                self.nursery.start_soon(self._happens, trouble)
        self.goes_wrong = False

    async def _happens(self, trouble: Trouble) -> None:
        living = self.world.up.values()
        whom = [node for node in living if trouble.whom in (node.name, EVERYBODY)]
        if whom and (len(living) > 1 or trouble.what not in ("crash", "stop", "drain")):
            self.note(trouble.what)
            self.world.history.note(trouble.whom, f"{trouble.what} for {trouble.for_s} s {trouble.how}")
            await getattr(self, f"_{trouble.what}")(trouble, whom)

    def activated(self, activation: Activation) -> None:
        """What had landed unbeknown to its writer is read now."""
        for lost in self.answers_lost:
            if any(entry.actor_id == activation.actor_id for entry in lost.entries):
                self.answers_lost.remove(lost)
                self.note("outcome_read_back")
                break

    # -- nodes --------------------------------------------------------------------------------------------------------

    async def _crash(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        await self.world.crash(whom[0])
        await self._back(trouble)

    async def _crash_of_all(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for node in whom:
            await self.world.crash(node)
        await trio.sleep(trouble.for_s)
        for node in whom:
            await self._come_back(node.name)

    async def _stop(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        await self.world.stop(whom[0], drained=False)
        await self._back(trouble)

    async def _drain(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        await self.world.stop(whom[0], drained=True)
        await self._back(trouble)

    async def _back(self, trouble: Trouble) -> None:
        await trio.sleep(trouble.for_s)
        await self._come_back(trouble.whom)

    async def _come_back(self, name: str) -> None:
        if not self.world.stage.nodes[name].alive:
            await self.world.start_node(name)

    async def _pause(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        self.world.freeze(whom[0])
        await trio.sleep(trouble.for_s)
        self.world.thaw(whom[0])

    async def _clock_jump(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        self.note("clock_jumped")
        whom[0].wall.wrong_by_ms += int(trouble.how)

    # -- PostgreSQL and Redis -----------------------------------------------------------------------------------------

    async def _storage_away(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for node in whom:
            node.storage.away = True
        await trio.sleep(trouble.for_s)
        for node in whom:
            node.storage.away = False

    async def _storage_slow(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for node in whom:
            node.storage.latency_s = node.storage.facts_latency_s = SLOW_S
        await trio.sleep(trouble.for_s)
        for node in whom:
            node.storage.latency_s = self.faults.storage_latency_s
            node.storage.facts_latency_s = 0

    async def _bus_away(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for node in whom:
            node.bus.cut()
        await trio.sleep(trouble.for_s)
        for node in whom:
            if node.alive:
                node.bus.heal()

    async def _directory_away(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for node in whom:
            node.directory.away = True
        await trio.sleep(trouble.for_s)
        for node in whom:
            node.directory.away = False

    async def _directory_wiped(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        self.world.stage.board.wipe()

    # -- what nodes say to each other ---------------------------------------------------------------------------------

    async def _partition(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        await self._apart([(trouble.whom, str(trouble.how)), (str(trouble.how), trouble.whom)], trouble.for_s)

    async def _partition_one_way(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        await self._apart([(trouble.whom, str(trouble.how))], trouble.for_s)

    async def _apart(self, ways: list[tuple[str, str]], for_s: float) -> None:
        self.partitions += ways
        await trio.sleep(for_s)
        for way in ways:
            self.partitions.remove(way)

    def fates(self, sender: str, to: str) -> Sequence[float]:
        """Of a packet: by how many seconds it is late, each time that it arrives."""
        faults, dice = self.faults, self.dice
        if not self.goes_wrong:
            return (0.0,)
        if (sender, to) in self.partitions:
            self.note("packet_cut_off")
            return ()
        if dice.random() < faults.packet_lost:
            self.note("packet_lost")
            return ()
        late_s = self._late_s(sender, to)
        if dice.random() < faults.packet_twice:
            self.note("packet_twice")
            return late_s, late_s + dice.random() * faults.packet_late_s
        return (late_s,)

    def _late_s(self, sender: str, to: str) -> float:
        late_s = 0.0
        if self.dice.random() < self.faults.packet_late:
            self.note("packet_late")
            late_s = self.dice.random() * self.faults.packet_late_s
        arrives_at = trio.current_time() + late_s
        last_at = self.arrivals.get((sender, to), 0.0)
        self.coverage["packet_overtook"] += self.faults.packets_overtake and arrives_at < last_at
        self.arrivals[sender, to] = max(last_at, arrives_at)
        return late_s

    # -- commits ------------------------------------------------------------------------------------------------------

    def before_append(self, journal: LeasedJournal) -> None:
        """Each kind of failure has its share of the same throw."""
        if not self.goes_wrong:
            return
        faults, thrown = self.faults, self.dice.random()
        for what, share in (
            ("append_fails", faults.append_fails),
            ("append_answer_lost", faults.append_answer_lost),
            ("append_lost", faults.append_lost),
            ("append_lands_late", faults.append_lands_late),
        ):
            thrown -= share
            if thrown < 0:
                self.note(what)
                self.world.history.note(journal.node, what)
                self._fail(journal, what)
                return

    def _fail(self, journal: LeasedJournal, what: str) -> None:
        if what == "append_fails":
            journal.fail_next(StorageUnavailable("away for a moment"))
            return
        lost = journal.lose_next(lands=what == "append_answer_lost")
        if lost.lands:
            self.answers_lost.append(lost)
        if what == "append_lands_late":
            assert self.nursery is not None
            self.nursery.start_soon(self._land_late, lost)

    async def _land_late(self, lost: Lost) -> None:
        await trio.sleep(self.dice.random() * self.faults.append_late_s)
        landed = lost.land()
        self.note("append_landed_late" if landed else "append_was_fenced")
        self.world.history.note("journal", f"a late append lands for {sorted(landed)}")

    # -- players ------------------------------------------------------------------------------------------------------

    async def _hang_up(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for wire in self.world.net.of(whom[0]):
            if self.dice.random() < 0.7:
                wire.cut()

    async def _slow_clients(self, trouble: Trouble, whom: Sequence[ClusterNode]) -> None:
        for bot in self.world.bots.values():
            if self.dice.random() < 0.3:
                bot.slow_until = trio.current_time() + trouble.for_s


@define(kw_only=True)
class TroubledHub(FaultyHub):
    troubles: Troubles

    def fates(self, sender: str, to: str, channel: str, packet: bytes) -> Sequence[float]:
        return (0.0,) if sender == to else self.troubles.fates(sender, to)
