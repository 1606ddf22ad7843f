"""How each fault is inflicted, and mended after a while."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import trio
from attrs import define, field, frozen

from loadtest.chaos.crowd import ENDLESS
from loadtest.chaos.limits import NODE_STOP_DEADLINE_S
from loadtest.chaos.nodes import Node, until_whole
from loadtest.chaos.plan import Strike
from loadtest.chaos.relay_child import Impairment
from loadtest.chaos.servers import Server
from loadtest.chaos.waiting import until_answered
from loadtest.chaos.world import World

IMPAIRMENTS: Final[Mapping[str, Impairment]] = {"cut": "cut", "silence": "silence", "slow": "slow"}


@define
class Notes:
    """What else was seen of one fault. `detected_at`: when a killed node's lease has run out, by Trio's clock."""

    detected_at: float | None = None
    hand_overs_s: list[float] = field(factory=list)
    """From the word to leave until the node owns no battle any more."""
    drains_s: list[float] = field(factory=list)
    """And until its process has ended."""
    missing: str = ""
    """What did not go as it should have."""


@frozen
class Faults:
    world: World

    async def inflict(self, strike: Strike, notes: Notes) -> None:
        """Until it is mended. Raises StartError if something does not start again."""
        ways: Mapping[str, Callable[[Strike, Notes], Awaitable[None]]] = {
            "kill": self._kill,
            "kill-late": self._kill,
            "freeze": self._freeze,
            "postgres": self._kill_server,
            "valkey": self._kill_server,
            "wipe": self._wipe,
            "cut": self._impair,
            "silence": self._impair,
            "slow": self._impair,
            "drain": self._drain,
            "roll": self._roll,
            "storm": self._storm,
            "all": self._all,
        }
        await trio.sleep(strike.after_s)
        await ways[strike.fault](strike, notes)

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def _kill(self, strike: Strike, notes: Notes) -> None:
        node = self.world.nodes[strike.node]
        await node.kill()
        if strike.fault == "kill-late":
            notes.detected_at = await self.world.records.lease_ends_at(node.name)
        await trio.sleep(strike.lasts_s)
        await node.start()

    async def _freeze(self, strike: Strike, notes: Notes) -> None:
        process = self.world.nodes[strike.node].process
        process.send_signal(signal.SIGSTOP)
        try:
            await trio.sleep(strike.lasts_s)
        finally:
            process.send_signal(signal.SIGCONT)

    async def _drain(self, strike: Strike, notes: Notes) -> None:
        node = self.world.nodes[strike.node]
        await self._leave(node, notes, node.drain)

    async def _roll(self, strike: Strike, notes: Notes) -> None:
        async def terminate() -> None:
            node.process.ask_to_stop()

        for node in self.world.nodes:
            await self._leave(node, notes, terminate)
            await until_whole(self.world.nodes)

    async def _leave(self, node: Node, notes: Notes, ask: Callable[[], Awaitable[None]]) -> None:
        began_at = trio.current_time()
        await ask()
        with trio.move_on_after(NODE_STOP_DEADLINE_S):
            await until_answered(partial(self.world.records.owns_none, node.name, ENDLESS))
        notes.hand_overs_s.append(trio.current_time() - began_at)
        if code := await node.ended():
            notes.missing = f"an orderly end of {node.name} (exit code {code})"
        notes.drains_s.append(trio.current_time() - began_at)
        await node.start()

    # -- servers and the links to them ----------------------------------------------------------------------------

    async def _kill_server(self, strike: Strike, notes: Notes) -> None:
        server: Server = "postgres" if strike.fault == "postgres" else "valkey"
        self.world.servers.kill(server)
        await trio.sleep(strike.lasts_s)
        await self.world.servers.restart(server)

    async def _wipe(self, strike: Strike, notes: Notes) -> None:
        await self.world.servers.wipe_valkey()

    async def _impair(self, strike: Strike, notes: Notes) -> None:
        link = self.world.nodes[strike.node].links[strike.link]
        await link.suffer(IMPAIRMENTS[strike.fault])
        await trio.sleep(strike.lasts_s)
        await link.suffer("mend")

    # -- everything -----------------------------------------------------------------------------------------------

    async def _storm(self, strike: Strike, notes: Notes) -> None:
        self.world.crowd.cut_off()

    async def _all(self, strike: Strike, notes: Notes) -> None:
        async with trio.open_nursery() as nursery:
            for part in strike.parts:
                nursery.start_soon(self.inflict, part, Notes())
