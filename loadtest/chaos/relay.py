"""A TCP relay on loopback between a node and a server, which fails as networks do: it cuts, falls silent, or is slow.

It runs in a thread of its own, and on uvloop: all that two processes say to each other passes here.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import uvloop
from attrs import define, field, frozen

HOST: Final = "127.0.0.1"
START_DEADLINE_S: Final = 10.0
STOP_DEADLINE_S: Final = 10.0
RECEIVE_BYTES: Final = 65_536
POSTGRES_SOCKET: Final = ".s.PGSQL.5432"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@frozen
class Pace:
    """How long each piece of data is on its way, in either direction."""

    delay_s: float = 0.0
    bytes_per_s: float = inf

    def takes_s(self, size: int) -> float:
        return self.delay_s + size / self.bytes_per_s


AT_ONCE: Final = Pace()


@define(eq=False)
class Passage:
    """One connection. One that has swallowed something is silent for good: what it swallowed is missing."""

    client: Streams
    silent: bool
    server: Streams | None = None
    task: "asyncio.Task[None]" = field(init=False)

    def close(self) -> None:
        for _, writer in filter(None, (self.client, self.server)):
            writer.close()


class Relay:
    """`with Relay(server_url) as relay:` and then connect to `relay.url`. The faults may be called from any thread."""

    url: str

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._refuses = self._swallows = False
        self._pace = AT_ONCE
        self._passages: set[Passage] = set()
        self._started: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = relayed(self._server_url, self._started.get(timeout=START_DEADLINE_S))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(STOP_DEADLINE_S)

    # -- faults ---------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """The present connections break, and so does each new one."""
        self._refuses = True
        self._break(lambda _: True)

    def silence(self) -> None:
        """Nothing gets through any more, and neither end is told: a server keeps what its client has given up."""
        self._swallows = True

    def slow(self, pace: Pace) -> None:
        self._pace = pace

    def mend(self) -> None:
        """All is well again; connections that have fallen silent break, as when each end is told by the other."""
        self._refuses = self._swallows = False
        self._pace = AT_ONCE
        self._break(lambda passage: passage.silent)

    def _break(self, concerns: Callable[[Passage], bool]) -> None:
        def cancel() -> None:
            for passage in filter(concerns, self._passages):
                passage.task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._begin, HOST, 0)
        self._started.put(server.sockets[0].getsockname()[1])
        await self._over.wait()
        server.close()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage((reader, writer), self._swallows)
        self._passages.add(passage)
        passage.task = self._loop.create_task(self._connect(passage))
        passage.task.add_done_callback(lambda _: self._end(passage))

    def _end(self, passage: Passage) -> None:
        """Also of one whose task was cancelled before it began."""
        self._passages.remove(passage)
        passage.close()

    async def _connect(self, passage: Passage) -> None:
        if self._refuses:
            return
        with suppress(OSError):
            passage.server = await _open(self._server_url)
            await self._converse(passage.client, passage.server, passage)

    async def _converse(self, client: Streams, server: Streams, passage: Passage) -> None:
        """Until one of the two has gone."""
        async with asyncio.TaskGroup() as ways:
            both = [ways.create_task(self._pass(*each, passage)) for each in ((client, server), (server, client))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for way in both:
                way.cancel()

    async def _pass(self, source: Streams, target: Streams, passage: Passage) -> None:
        with suppress(OSError):
            while data := await source[0].read(RECEIVE_BYTES):
                passage.silent |= self._swallows
                if passage.silent:
                    continue
                if self._pace is not AT_ONCE:
                    await asyncio.sleep(self._pace.takes_s(len(data)))
                target[1].write(data)
                await target[1].drain()
        passage.silent |= self._swallows
        if passage.silent:  # that it has gone is not passed on either
            await self._over.wait()


def relayed(server_url: str, port: int) -> str:
    """The URL of the same server behind a relay at `port`."""
    parts, here = urlsplit(server_url), f"{HOST}:{port}"
    match parts.scheme:
        case "unix":
            return f"redis://{here}/0"
        case "postgresql":
            return f"postgresql://{parts.username}@{here}{parts.path}"
        case _:
            return parts._replace(netloc=here).geturl()


async def _open(server_url: str) -> Streams:
    """The embedded servers listen on Unix sockets. Raises OSError."""
    parts = urlsplit(server_url)
    match parts.scheme:
        case "unix":
            return await asyncio.open_unix_connection(unquote(parts.path))
        case "postgresql":
            return await asyncio.open_unix_connection(f"{parse_qs(parts.query)['host'][0]}/{POSTGRES_SOCKET}")
        case _:
            return await asyncio.open_connection(parts.hostname, parts.port)
