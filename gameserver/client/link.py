"""A connection that is held open by a task of its own until it is lost or left."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import trio
from attrs import define, field

from gameserver.client.connection import GOING_AWAY, Connection
from gameserver.client.errors import Disconnected
from gameserver.client.limits import PlayerLimits
from gameserver.errors import GameServerError, Refused


@define(eq=False)
class Link:
    """`connection` and `since` are there once `hold` has started."""

    url: str
    connection: Connection = field(init=False)
    since: float = field(init=False)
    _holding: trio.CancelScope = field(factory=trio.CancelScope)
    _closed: trio.Event = field(factory=trio.Event)

    @property
    def alive(self) -> bool:
        return self.connection.lost is None

    async def hold(
        self,
        opening: AbstractAsyncContextManager[Connection],
        limits: PlayerLimits,
        next_id: Callable[[], int],
        on_lost: Callable[[], None],
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Raises what opening raises, and nothing once it has started."""
        started = False
        try:
            async with opening as self.connection:
                self.since = trio.current_time()
                started = True
                task_status.started()
                await self._stay(limits, next_id)
                on_lost()  # closing may take a while
        except GameServerError:
            if not started:
                raise
        self._closed.set()
        on_lost()

    async def _stay(self, limits: PlayerLimits, next_id: Callable[[], int]) -> None:
        """Until the connection is lost or left."""
        with self._holding:
            while self.alive:
                heard_at = self.connection.heard_at
                with trio.move_on_at(heard_at + limits.ping_interval_ms / 1000):
                    await self.connection.ended.wait()
                    return
                if self.connection.heard_at == heard_at:
                    await self.ping(next_id(), limits.ping_deadline_ms)

    async def leave(self, within_ms: int) -> None:
        """Once what is under way was answered, or the time is over."""
        with trio.move_on_after(within_ms / 1000):
            await self.connection.answered()
        self._holding.cancel()
        await self._closed.wait()

    async def ping(self, number: int, within_ms: int) -> None:
        """A connection may be dead long before the kernel finds out: who says nothing even to this is gone."""
        heard_at = self.connection.heard_at
        with suppress(Refused, Disconnected), trio.move_on_after(within_ms / 1000):
            await self.connection.command("ping", {}, command_id=number)
        if self.connection.heard_at == heard_at:
            self.connection.lose(Disconnected(GOING_AWAY, "the server is silent"))
