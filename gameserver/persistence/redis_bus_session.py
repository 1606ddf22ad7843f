"""One life of the bus's connections to Redis, on asyncio's loop: one publishes, one is subscribed.

    open()     connects, subscribes, and has an echo of its own come back: publishing and subscription work
    serve()    receives, sends and beats until anything goes wrong; then it raises, and the session is over
    close()    always, also if `open` failed

Invariants
- What `publish` is given goes out in this order over one connection, also if its caller is cancelled. Whatever waits
  while a round trip runs shares the next one.
- What arrives is handed over once per round of the loop, in order, and taken there and then: what nobody has time for
  stays with the kernel, or with Redis, which ends the session when that becomes too much.

Failure: a beat is an echo through both connections; one that takes longer than the deadline, with nothing else arriving
meanwhile, ends the session. So does the first error, of whatever kind. Nothing is tried twice.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define, field
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection

from gameserver.errors import GameServerError

Packet = tuple[bytes, bytes]
"""Channel, by its name in Redis, and content."""


class SessionOver(GameServerError):
    """The connections are closed or about to be."""


@define
class Posting:
    """What one caller wants to have sent."""

    packets: Sequence[Packet]
    sent: "asyncio.Future[None]" = field(factory=lambda: asyncio.get_running_loop().create_future())


class Session:
    """`hand_over` never raises and never waits.

    `echo` is a channel of this session alone. `healthy` is asked with each beat: False ends the session.
    """

    def __init__(
        self,
        pool: BlockingConnectionPool,
        echo: bytes,
        channels: Iterable[bytes],
        hand_over: Callable[[list[Packet]], None],
        healthy: Callable[[], bool],
        deadline_ms: int,
        beat_interval_ms: int,
    ) -> None:
        self._publisher, self._subscriber = _connection(pool), _connection(pool)
        self._echo, self._channels = echo, [echo, *channels]
        self._hand_over, self._healthy = hand_over, healthy
        self._deadline_s, self._beat_interval_s = deadline_ms / 1_000, beat_interval_ms / 1_000
        self._gathered: list[Packet] = []
        self._waiting: list[Posting] = []
        self._under_way: list[Posting] = []
        self._posted, self._heard = asyncio.Event(), asyncio.Event()
        self._over = False

    async def open(self) -> None:
        for connection in (self._publisher, self._subscriber):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py has types in places
        await self._subscriber.send_command("SUBSCRIBE", *self._channels)
        for _ in self._channels:
            await self._read()
        await self._round_trip([(self._echo, b"")])
        while (await self._read())[1] != self._echo:
            pass  # nobody was promised anything yet

    async def serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in (self._receive, self._send, self._beat):
                    tasks.create_task(part())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            await self.close()  # here, too: when the loop ends, nobody can ask for it any more

    async def publish(self, packets: Sequence[Packet]) -> None:
        if self._over:
            raise SessionOver
        posting = Posting(packets)
        self._waiting.append(posting)
        self._posted.set()
        await posting.sent

    async def close(self) -> None:
        self._end()
        for connection in (self._publisher, self._subscriber):
            await connection.disconnect(nowait=True)

    def _end(self) -> None:
        self._over = True
        for posting in (*self._under_way, *self._waiting):
            if not posting.sent.done():
                posting.sent.set_exception(SessionOver())
        self._under_way, self._waiting = [], []

    async def _receive(self) -> None:
        """Reading does not suspend as long as something is there: the hand-over comes when all of it was read."""
        loop = asyncio.get_running_loop()
        while True:
            kind, channel, packet = await self._read()
            if kind != b"message":
                raise SessionOver  # somebody has ended a subscription of ours
            if not self._gathered:
                loop.call_soon(self._hand_over_gathered)
            self._gathered.append((channel, packet))

    def _hand_over_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._heard.set()
        self._hand_over(gathered)

    async def _send(self) -> None:
        while True:
            await self._posted.wait()
            self._posted.clear()
            self._under_way, self._waiting = self._waiting, []
            async with asyncio.timeout(self._deadline_s):
                await self._round_trip([packet for posting in self._under_way for packet in posting.packets])
            for posting in self._under_way:
                if not posting.sent.done():  # else its caller was cancelled
                    posting.sent.set_result(None)
            self._under_way = []

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._beat_interval_s)
            if not self._healthy():
                raise SessionOver
            self._heard.clear()
            await self.publish([(self._echo, b"")])
            async with asyncio.timeout(self._deadline_s):
                await self._heard.wait()

    async def _round_trip(self, packets: Sequence[Packet]) -> None:
        commands = self._publisher.pack_commands([(b"PUBLISH", channel, packet) for channel, packet in packets])
        await self._publisher.send_packed_command(commands)
        for _ in packets:
            await self._publisher.read_response()

    async def _read(self) -> Sequence[Any]:
        answer: Sequence[Any] = await self._subscriber.read_response(disable_decoding=True, timeout=math.inf)
        return answer


def _connection(pool: BlockingConnectionPool) -> AbstractConnection:
    """A connection like those of the pool, but not one of them: nobody else uses it, and it is never replaced."""
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # as above
    connection.socket_timeout = None  # deadlines are around what we do; the driver's own would cost a task per write
    return connection
