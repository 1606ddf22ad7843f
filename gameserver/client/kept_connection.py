"""Staying connected: another connection for each that is lost, and moving to another node without being away.

All connections are under one instance, so that a command keeps its identity over all of them.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

import trio
from attrs import define, frozen

from gameserver.client.addresses import Addresses
from gameserver.client.connection import GOING_AWAY, Connection, Event
from gameserver.client.errors import Disconnected, Unreachable
from gameserver.client.limits import ConnectionLimits, PlayerLimits
from gameserver.client.link import Link
from gameserver.client.pauses import Dice, backoff_s
from gameserver.errors import GameServerError, Refused, unwrapped

Token = str | Callable[[], Awaitable[str]]
"""Asked for at each connection if it is a function: one that has expired meanwhile is no end then."""


class Dial(Protocol):
    """As `connect` in connection.py."""

    def __call__(
        self,
        url: str,
        token: str,
        instance: int | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        limits: ConnectionLimits | None = None,
    ) -> AbstractAsyncContextManager[Connection]: ...


@frozen
class Move:
    url: str | None
    delay_s: float


@define(eq=False)
class Numbers:
    """What names commands: the first hello's instance, and rising IDs."""

    instance: int | None
    last_id: int

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id


class KeptConnection:
    """`open` it within a nursery. `ended` says why, once there will be no other connection."""

    def __init__(
        self,
        addresses: Addresses,
        token: Token,
        numbers: Numbers,
        limits: PlayerLimits,
        dial: Dial,
        dice: Dice,
        *,
        on_event: Callable[[Link, Event], None],
        on_connected: Callable[[], None],
        on_ended: Callable[[GameServerError], None],
    ) -> None:
        self._addresses, self._token, self.numbers, self._limits = addresses, token, numbers, limits
        self._dial, self._dice = dial, dice
        self._on_event, self._on_connected, self._on_ended = on_event, on_connected, on_ended
        self.current: Link | None = None
        self.ended: GameServerError | None = None
        self._failures = 0
        self._wanted: Move | None = None
        self._news = trio.Event()
        self._waiting = trio.lowlevel.ParkingLot()
        self._staying = trio.CancelScope()
        self._nursery: trio.Nursery

    async def open(self, nursery: trio.Nursery) -> None:
        """Raises Unreachable, Refused, Disconnected if there is no first connection."""
        self._nursery = nursery
        await self._reach(self._limits.first_deadline_ms)
        nursery.start_soon(self._stay)

    async def close(self, error: GameServerError) -> None:
        self._staying.cancel()
        self._end(error)
        if self.current is not None:
            await self.current.leave(0)

    async def link(self) -> Link:
        """The present connection, once there is one. Raises `ended`."""
        while self.ended is None:
            if self.current is not None and self.current.alive:
                return self.current
            await self._waiting.park()
        raise self.ended

    def move(self, url: str | None, delay_s: float = 0) -> None:
        """Have another connection take the place of the present one: to this URL, or else to the next one."""
        self._wanted = Move(url, delay_s)
        self._news.set()

    # -- coming back ----------------------------------------------------------------------------------------------

    async def _stay(self) -> None:
        with self._staying:
            try:
                while True:
                    await self._stay_with_current()
                    await self._reach(self._limits.away_limit_ms)
            except (Unreachable, Refused, Disconnected) as error:
                self._end(error)

    async def _stay_with_current(self) -> None:
        """Until the connection, or that which has taken its place, is lost. Raises Disconnected if that is the end."""
        link = self.current
        assert link is not None, "reached"
        while link.alive:
            await self._news.wait()
            self._news = trio.Event()
            if self._wanted is not None and link.alive:
                link = await self._move(link, self._wanted)
        lost = link.connection.lost
        assert lost is not None, "not alive"
        if not lost.come_back:
            raise lost
        steady = trio.current_time() - link.since >= self._limits.steady_ms / 1000
        self._failures = 0 if steady else self._failures + 1
        if self._wanted is not None:
            self._head_for(link, self._wanted)
        elif lost.code == GOING_AWAY:
            self._addresses.move_on()

    async def _reach(self, within_ms: int) -> None:
        """Try one URL after the other until one takes us. Raises Unreachable, and what no other try would change."""
        last: Exception | None = None
        with trio.move_on_after(within_ms / 1000):
            while True:
                await trio.sleep(self._pause_s())
                try:
                    self._use(await self._connect(self._addresses.current))
                except (Unreachable, Refused, Disconnected) as error:
                    if self._is_final(error):
                        raise
                    last = error
                else:
                    return
                self._failures += 1
                self._addresses.move_on()
        raise Unreachable(f"no connection within {within_ms} ms: {last or 'nobody answers'}")

    def _pause_s(self) -> float:
        """None before the very first try; and the next URL gets its try without a longer one."""
        if self.current is None and self._failures == 0:
            return 0
        limits, rounds = self._limits, self._failures // len(self._addresses)
        return backoff_s(rounds, limits.reconnect_pause_ms, limits.reconnect_pause_max_ms, self._dice)

    def _is_final(self, error: Unreachable | Refused | Disconnected) -> bool:
        if isinstance(error, Disconnected):
            return not error.come_back
        if isinstance(error, Unreachable) or error.retryable or error.status >= 500:
            return False
        return isinstance(self._token, str) or error.code != "token_expired"

    async def _connect(self, url: str) -> Link:
        token = self._token if isinstance(self._token, str) else await self._token()
        link, limits = Link(url), self._limits
        on_event = partial(self._on_event, link)
        opening = self._dial(url, token, self.numbers.instance, on_event=on_event, limits=limits.connection)
        with unwrapped():
            await self._nursery.start(link.hold, opening, limits, self.numbers.next_id, self._wake)
        return link

    def _use(self, link: Link) -> None:
        self.current = link
        self.numbers.instance = link.connection.hello.instance
        self._waiting.unpark_all()
        self._on_connected()

    def _end(self, error: GameServerError) -> None:
        if self.ended is None:
            self.ended = error
            self._waiting.unpark_all()
            self._on_ended(error)

    def _wake(self) -> None:
        self._news.set()

    # -- moving ---------------------------------------------------------------------------------------------------

    async def _move(self, link: Link, move: Move) -> Link:
        """The new connection first, then the old one is left; the old one if there is no new one."""
        with trio.move_on_after(move.delay_s):
            await link.connection.ended.wait()
        if not link.alive:
            return link
        self._wanted = None
        for url in self._targets(link, move):
            try:
                new = await self._connect(url)
            except (Unreachable, Refused, Disconnected):
                continue
            self._addresses.prefer(url)
            self._use(new)
            self._nursery.start_soon(link.leave, self._limits.leave_deadline_ms)
            return new
        return link

    def _targets(self, link: Link, move: Move) -> list[str]:
        return self._addresses.after(link.url) if move.url is None else [move.url]

    def _head_for(self, link: Link, move: Move) -> None:
        """The old connection is gone before its time: the next one goes where we were to go."""
        self._wanted = None
        self._addresses.prefer(self._targets(link, move)[0])
