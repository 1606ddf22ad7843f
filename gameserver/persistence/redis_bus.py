"""The bus between nodes: publish and subscribe of Redis.

`run` keeps a session (`redis_bus_session.py`) alive on asyncio's loop: it opens one, serves it until anything goes
wrong, closes it, and opens the next one after a probe interval, or as soon as the store says that Redis is back.

Invariants
- `available` is True only while a session is served and the store holds Redis to be there. Whoever has seen it False
  is told of the change, by `on_change`: a session does not outlive an absence of the store, however short.
- Handlers are called on the Trio thread, in the order of arrival; all of one session before anything of the next.
- While `available` is False, `publish` raises at once.

Failure: what was published while a node had no session is lost to it. A round that failed may still be read by a server
that was paused meanwhile, and then reach subscribers late. A store that was emptied may be another Redis: the bus
connects anew, too.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from gameserver.config import RedisSettings
from gameserver.errors import BusAway
from gameserver.ids import new_id
from gameserver.persistence.bridge import Bridge
from gameserver.persistence.redis_bus_session import Packet, Session, SessionOver
from gameserver.persistence.redis_store import LOSSES, RedisStore, address, connection_pool

log = structlog.get_logger()

# What a session may end with. Anything else is a bug.
SESSION_LOSSES: Final = (*LOSSES, SessionOver)

# A session has no end of its own, but the bridge wants a deadline: 34 years.
FOREVER_MS: Final = 2**40


class RedisBus:
    """Subscribe first, then `run`."""

    # Listeners outside of the cluster know these channels under exactly these names; all others are the nodes' own, and
    # must not meet those of another installation on the same Redis: they get the key prefix.
    PUBLIC_CHANNELS: Final = ("battle:",)

    def __init__(self, bridge: Bridge, store: RedisStore, settings: RedisSettings) -> None:
        self._bridge, self._store, self._settings = bridge, store, settings
        self._pool = connection_pool(settings, decode=False)
        self._handlers: dict[bytes, list[Callable[[bytes], None]]] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._session: Session | None = None
        self._life = trio.CancelScope()
        self._renewed = trio.Event()
        self._told_available = False
        self._known_lost = False
        store.on_renewal(self._store_renewed)

    @property
    def available(self) -> bool:
        return self._session is not None and self._store.available

    def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        assert self._session is None, "subscribe before the bus runs"
        self._handlers.setdefault(self._name(channel), []).append(handler)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def publish(self, packets: Sequence[tuple[str, bytes]]) -> None:
        session = self._session
        if session is None or not self._store.available:
            self._tell()
            await trio.lowlevel.checkpoint()
            raise BusAway("no connection to Redis")
        named = [(self._name(channel), packet) for channel, packet in packets]
        deadline_ms = 2 * self._settings.call_deadline_ms  # for the round under way and for ours
        try:
            await self._bridge.call(session.publish, named, deadline_ms=deadline_ms)
        except SESSION_LOSSES as error:
            if session is self._session:
                self._lost(error)
                self._drop()
            raise BusAway(type(error).__name__) from error

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep connected until cancelled. Started once the first attempt has come to something, or to nothing."""
        tried = False

        def note_try() -> None:
            nonlocal tried
            if not tried:
                tried = True
                task_status.started()

        while True:
            self._renewed = trio.Event()
            with trio.CancelScope() as self._life:
                await self._live(note_try)
            note_try()
            with trio.move_on_after(self._settings.probe_interval_ms / 1_000):
                await self._renewed.wait()

    async def _live(self, opened: Callable[[], None]) -> None:
        """One session, from its beginning to its end."""
        if not self._store.available:
            return
        session = self._new_session()
        try:
            await self._bridge.call(session.open, deadline_ms=self._settings.call_deadline_ms)
            self._session = session
            self._found()
            opened()
            await self._bridge.call(session.serve, deadline_ms=FOREVER_MS)
        except SESSION_LOSSES as error:
            self._lost(error)
        finally:
            self._session = None
            self._tell()
            with trio.CancelScope(shield=True), contextlib.suppress(*SESSION_LOSSES):
                await self._bridge.call(session.close, deadline_ms=self._settings.call_deadline_ms)

    def _new_session(self) -> Session:
        return Session(
            self._pool,
            self._name(f"echo:{new_id()}"),
            self._handlers,
            self._deliver,
            lambda: self._store.available,
            self._settings.call_deadline_ms,
            self._settings.probe_interval_ms,
        )

    def _deliver(self, packets: list[Packet]) -> None:
        for channel, packet in packets:
            for handler in self._handlers.get(channel, ()):
                try:
                    handler(packet)
                except Exception:  # a bug of one handler must not take the others' packets
                    log.exception("bus.handler_failed", channel=channel.decode(errors="replace"))

    def _store_renewed(self) -> None:
        self._renewed.set()
        self._drop()

    def _drop(self) -> None:
        """End the session, if there is one, and say so at once."""
        self._life.cancel()
        self._session = None
        self._tell()

    def _tell(self) -> None:
        if self._told_available != self.available:
            self._told_available = self.available
            for callback in self._callbacks:
                callback()

    def _lost(self, error: Exception) -> None:
        if not self._known_lost:
            self._known_lost = True
            log.warning("bus.away", address=address(self._settings.url), error=type(error).__name__)

    def _found(self) -> None:
        if self._known_lost:
            self._known_lost = False
            log.warning("bus.back", address=address(self._settings.url))
        self._tell()

    def _name(self, channel: str) -> bytes:
        prefix = "" if channel.startswith(self.PUBLIC_CHANNELS) else self._settings.key_prefix
        return (prefix + channel).encode()
