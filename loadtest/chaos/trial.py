"""One fault, from the blow to the moment when all is well again, and what was measured meanwhile."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from math import inf

import trio
from attrs import define, field, frozen

from gameserver.client.errors import Unreachable
from gameserver.errors import Refused
from loadtest.chaos.crowd import ENDLESS
from loadtest.chaos.faults import Faults, Notes
from loadtest.chaos.limits import RECOVERY_DEADLINE_S
from loadtest.chaos.nodes import until_whole
from loadtest.chaos.plan import ON_ONE_NODE, Strike
from loadtest.chaos.recovery import Recovery
from loadtest.chaos.world import World


@frozen
class Trial:
    """All times are in seconds, and count from the blow.

    `accepted_s`: to the first accepted command, for each of the `battles` that were concerned and have accepted any.
    `longest_wait_s`: of any command that was answered meanwhile, from when it was due. `detected_s`: until the lease of
    a killed node had run out. `hand_overs_s`: until a node that was to leave owned no battle any more; `drains_s`: and
    until its process had ended. `resumed_s`: until every player who had been cut off had all events; it took so many
    `journal_reads`. `missing`: what was not well again in time.
    """

    fault: str
    title: str
    began_at_s: float
    battles: int
    accepted_s: Sequence[float]
    acknowledged: int
    longest_wait_s: float
    detected_s: float | None
    hand_overs_s: Sequence[float]
    drains_s: Sequence[float]
    resumed_s: float | None
    journal_reads: int | None
    missing: str

    @property
    def survived(self) -> bool:
        return not self.missing

    @property
    def accepted_after_detection_s(self) -> Sequence[float]:
        """The share of `accepted_s` that came after a killed node's lease had run out."""
        return [] if self.detected_s is None else [taken_s - self.detected_s for taken_s in self.accepted_s]


@define(eq=False)
class Trials:
    """`undergo` them one after the other, in play; `done` has what was measured."""

    world: World
    settle_s: float
    """Play between two faults, in which battles move to where they belong."""
    done: list[Trial] = field(factory=list)
    _began_at: float = field(factory=trio.current_time)

    async def undergo(self, strike: Strike) -> None:
        """Raises StartError if a node or a server does not start again."""
        meter, is_storm = self.world.meter, strike.fault == "storm"
        concerned, reads = await self._concerned(strike), await self._journal_reads()
        latencies, commands = len(meter.latencies_ms), meter.commands
        meter.phase = strike.fault
        recovery, notes = Recovery(concerned), Notes()
        with self.world.crowd.watched_by(recovery):
            await Faults(self.world).inflict(strike, notes)
            resumed_at, missing = await self._well_again(recovery)
        reads = await self._journal_reads() - reads
        await self._settle()
        struck_at = recovery.struck_at
        trial = Trial(
            fault=strike.fault,
            title=strike.title,
            began_at_s=struck_at - self._began_at,
            battles=len(concerned),
            accepted_s=sorted(recovery.times_s.values()),
            acknowledged=meter.commands - commands,
            longest_wait_s=max(meter.latencies_ms[latencies:], default=0.0) / 1000,
            detected_s=None if notes.detected_at is None else notes.detected_at - struck_at,
            hand_overs_s=notes.hand_overs_s,
            drains_s=notes.drains_s,
            resumed_s=resumed_at - struck_at if is_storm else None,
            journal_reads=reads if is_storm else None,
            missing=missing or notes.missing,
        )
        self.done.append(trial)

    async def _concerned(self, strike: Strike) -> Collection[str]:
        if strike.fault in ON_ONE_NODE:
            return await self.world.records.owned_by(self.world.nodes[strike.node].name, ENDLESS)
        return self.world.crowd.endless

    async def _well_again(self, recovery: Recovery) -> tuple[float, str]:
        """When all players had resumed; and what was not well in time, '' if all was."""
        missing, resumed_at = "players without all events", inf
        with trio.move_on_after(RECOVERY_DEADLINE_S):
            await self.world.crowd.resumed()
            resumed_at = trio.current_time()
            missing = "battles without a command"
            await recovery.done()
            missing = "nodes that see each other"
            await until_whole(self.world.nodes)
            missing = "answers"
            await self.world.crowd.answered(due_by=trio.current_time())
            missing = ""
        return resumed_at, missing

    async def _settle(self) -> None:
        self.world.meter.phase = "settling"
        self.world.crowd.send_home()
        await trio.sleep(self.settle_s)

    async def _journal_reads(self) -> int:
        """Of all nodes for resumes, since each has started."""
        total = 0
        for node in self.world.nodes:
            with suppress(Refused, Unreachable):
                total += (await node.read("/admin/stats"))["websocket"]["resumes_read"]
        return total
