"""The connection to Redis or Valkey, and whether it is there.

Nothing in Redis is the truth, so its absence must cost the game nothing: not even waiting.

- A breaker: the first call that fails, or that takes longer than its deadline, says that Redis is away; from then on
  calls raise `RedisAway` at once, without touching the network. Nothing is tried twice.
- A probe once a second, in both states, is the only thing that brings Redis back. It needs a write to succeed, so that
  a replica or a full server is not taken for a healthy one.
- What was written may be gone after an outage, and after a wipe that nobody felt. The probe keeps a random token in
  Redis and looks for it: another one, or none, is another Redis. In both cases those who keep data there are told, to
  write it anew.

Every error of the driver becomes `RedisAway` here, and only here. Logs name the kind of an error and the address, never
the URL or a message of the driver: those may hold secrets.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, cast
from urllib.parse import urlsplit

import structlog
import trio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gameserver.beats import next_beat
from gameserver.config import RedisSettings
from gameserver.errors import ConfigError, GameServerError
from gameserver.ids import new_id
from gameserver.persistence.bridge import Bridge, BridgeClosed, DeadlineExceeded

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
log = structlog.get_logger()

SCHEMES: Final = frozenset({"redis", "rediss", "unix"})


# What a call to Redis may end with.
LOSSES: Final = (RedisError, OSError, DeadlineExceeded, BridgeClosed)


class RedisAway(GameServerError):
    """Redis did not answer in time, or answered that it cannot; what was asked may have been done or not."""


class Script(Protocol):
    """A Lua script, called by its hash, and loaded when the server does not know it. To be awaited in `call` only."""

    async def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any: ...


class RedisStore:
    """One for the node. `run` has to run: without its probe, Redis counts as away."""

    def __init__(self, bridge: Bridge, settings: RedisSettings) -> None:
        self._bridge, self._settings = bridge, settings
        self._client: Redis = Redis.from_pool(connection_pool(settings, decode=True))
        self._address = address(settings.url)
        self._token = ""
        self._callbacks: list[Callable[[], None]] = []
        self._known_away = False
        self.available = False
        self.life = 0
        self.calls_failed = 0
        self.calls_refused = 0

    def key(self, *parts: str) -> str:
        return self._settings.key_prefix + ":".join(parts)

    def script(self, text: str) -> Script:
        return cast("Script", self._client.register_script(text))

    async def call(self, work: Callable[["Redis"], Awaitable[T]]) -> T:
        """What `work` gives, run on asyncio's loop within the call deadline. Raises RedisAway."""
        if not self.available:
            self.calls_refused += 1
            await trio.lowlevel.checkpoint()
            raise RedisAway("Redis is away")
        return await self._attempt(work)

    def on_renewal(self, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever what was written before may be gone. It never blocks and never raises."""
        self._callbacks.append(callback)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Probe until cancelled, then close the connections. Started once the first probe has an answer."""
        try:
            await self._probe()
            task_status.started()
            while True:
                await next_beat(self._settings.probe_interval_ms / 1_000)
                await self._probe()
        finally:
            with trio.CancelScope(shield=True):
                await self._close()

    async def _probe(self) -> None:
        offered, key = new_id(), self.key("life")
        try:
            found = await self._attempt(lambda client: client.set(key, offered, nx=True, get=True))
        except RedisAway:
            return
        token = offered if found is None else str(found)
        if not self.available or token != self._token:
            self._token = token
            self._came_back()

    async def _attempt(self, work: Callable[["Redis"], Awaitable[T]]) -> T:
        try:
            return await self._bridge.call(work, self._client, deadline_ms=self._settings.call_deadline_ms)
        except LOSSES as error:
            self.calls_failed += 1
            self._went_away(error)
            raise RedisAway(type(error).__name__) from error

    def _went_away(self, error: Exception) -> None:
        self.available = False
        if not self._known_away:
            self._known_away = True
            log.warning("redis.away", address=self._address, error=type(error).__name__)

    def _came_back(self) -> None:
        if self._known_away:
            log.warning("redis.back", address=self._address)
        elif self.available:
            log.warning("redis.emptied", address=self._address)
        self.available, self._known_away = True, False
        self.life += 1
        for callback in self._callbacks:
            callback()

    async def _close(self) -> None:
        self.available = False
        try:
            await self._bridge.call(self._client.aclose, deadline_ms=self._settings.call_deadline_ms)
        except LOSSES as error:
            log.debug("redis.close_failed", error=type(error).__name__)


def connection_pool(settings: RedisSettings, *, decode: bool) -> BlockingConnectionPool:
    """Every limit of the driver is ours: our deadline, our number of connections, and no retries of its own.

    Answers are texts if `decode`, else bytes. Raises ConfigError.
    """
    if urlsplit(settings.url).scheme not in SCHEMES:
        raise ConfigError("REDIS_URL: expected a URL that begins with redis://, rediss:// or unix://")
    deadline_s = settings.call_deadline_ms / 1_000
    try:
        return BlockingConnectionPool.from_url(
            settings.url,
            max_connections=settings.connections_limit,
            timeout=deadline_s,
            socket_timeout=deadline_s,
            socket_connect_timeout=deadline_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=decode,
        )
    except ValueError:  # its message may quote the URL
        raise ConfigError("REDIS_URL: expected a URL such as redis://host:6379/0") from None


def address(url: str) -> str:
    """The URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
