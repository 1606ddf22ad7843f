"""One connection to the game, for as long as it lasts: commands with their answers, and the events that the server
pushes. Whoever wants to stay connected takes a Player (see player.py), which is made of these.

    async with connect(url, token) as connection:
        state = (await connection.watch(battle_id))["state"]
        await connection.attack(battle_id)
        async for event in connection.events(): ...

Answers find their command by its ID. Whoever comes back after a disconnection passes the `instance` of the earlier
hello and the `last_id` used under it, and may then repeat an unanswered command by its ID: it takes effect once.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urlsplit

import h11
import msgspec
import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from gameserver.client.errors import Disconnected, Unreachable
from gameserver.client.game_commands import GameCommands
from gameserver.client.http import refused_from
from gameserver.client.hung_up import HungUp
from gameserver.client.limits import ConnectionLimits
from gameserver.codec import decode, encode
from gameserver.errors import Refused, unwrapped

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
ABNORMAL: Final = 1006
"""What WebSocket calls an end without a close frame."""

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

Event = dict[str, Any]
"""As on the wire: "event", "payload", and "seq" for what happened in a battle."""


class WebSocket(Protocol):
    """What we use of trio_websocket's connection. Both calls raise ConnectionClosed."""

    async def send_message(self, message: str) -> None: ...

    async def get_message(self) -> str | bytes: ...

    async def aclose(self) -> None: ...


@frozen
class Hello:
    player_id: str
    instance: int
    node: str
    server_time_ms: int


@asynccontextmanager
async def connect(
    url: str,
    token: str,
    instance: int | None = None,
    *,
    last_id: int = 0,
    on_event: Callable[[Event], None] | None = None,
    limits: ConnectionLimits | None = None,
) -> AsyncIterator["Connection"]:
    """A connection that has been greeted. With `on_event`, events go there, at once, and not to `events()`.

    Raises Refused (the handshake), Unreachable, Disconnected (before the greeting).
    """
    limits = limits or ConnectionLimits()
    target = url if instance is None else f"{url}{'&' if '?' in url else '?'}instance={instance}"
    stream = await _open_stream(urlsplit(target), limits)
    try:
        with unwrapped():
            async with trio.open_nursery() as nursery:
                websocket = await _upgrade(nursery, stream, urlsplit(target), token, limits)
                async with conversing(websocket, last_id, on_event, limits) as connection:
                    yield connection
                nursery.cancel_scope.cancel()
    except ConnectionRejected as rejected:
        raise refused_from(rejected.status_code, rejected.body or b"") from None
    except h11.ProtocolError as error:
        raise Unreachable(f"{url} does not speak as a WebSocket: {error}") from error
    finally:
        await trio.aclose_forcefully(stream)  # the library leaves it open when the handshake fails


@asynccontextmanager
async def conversing(
    websocket: WebSocket, last_id: int, on_event: Callable[[Event], None] | None, limits: ConnectionLimits
) -> AsyncIterator["Connection"]:
    """A connection over an open WebSocket, which is closed in the end. Raises Refused, Disconnected (no greeting)."""
    with unwrapped():
        async with trio.open_nursery() as nursery:
            connection = Connection(websocket, last_id, on_event, limits)
            nursery.start_soon(connection.read)
            try:
                await connection.greeted()
                yield connection
            finally:
                with trio.move_on_after(limits.close_deadline_ms / 1000):
                    await websocket.aclose()
                connection.lose(Disconnected(NORMAL, "left"))
                nursery.cancel_scope.cancel()


async def _open_stream(url: SplitResult, limits: ConnectionLimits) -> Stream:
    try:
        with trio.fail_after(limits.connect_deadline_ms / 1000):
            if url.scheme == "wss":
                context = ssl.create_default_context()
                return await trio.open_ssl_over_tcp_stream(url.hostname or "", url.port or 443, ssl_context=context)
            return await trio.open_tcp_stream(url.hostname or "", url.port or 80)
    except (OSError, trio.TooSlowError) as error:
        raise Unreachable(f"nothing answers at {url.scheme}://{url.netloc}") from error


async def _upgrade(
    nursery: trio.Nursery, stream: Stream, url: SplitResult, token: str, limits: ConnectionLimits
) -> WebSocketConnection:
    with trio.move_on_after(limits.connect_deadline_ms / 1000) as patience:
        return await wrap_client_stream(
            nursery,
            HungUp(stream, patience.cancel),  # type: ignore[arg-type]  # any stream will do
            url.netloc,
            f"{url.path or '/'}?{url.query}",
            extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
            max_message_size=limits.message_bytes,
        )
    raise Unreachable(f"{url.scheme}://{url.netloc} does not answer as a WebSocket")


@define(eq=False)
class _Waiting:
    """A command on its way: `answer` is the payload of the reply, or the error instead of it."""

    hear: Callable[[Any], None] | None = None
    done: trio.Event = field(factory=trio.Event)
    answer: Any = None

    def settle(self, answer: Any) -> None:
        self.answer = answer
        self.done.set()
        if self.hear is not None and not isinstance(answer, Exception):
            self.hear(answer)


class Connection(GameCommands):
    """Made by `connect`. `lost` says why, once the connection has ended."""

    hello: Hello

    def __init__(
        self,
        websocket: WebSocket,
        last_id: int,
        on_event: Callable[[Event], None] | None,
        limits: ConnectionLimits,
    ) -> None:
        self._websocket, self._limits = websocket, limits
        self.last_id = last_id
        self.heard_at = trio.current_time()
        self.lost: Disconnected | None = None
        self.ended = trio.Event()
        self._waiting: dict[int, _Waiting] = {}
        self._greeting = _Waiting()
        self._pushed, self._to_read = trio.open_memory_channel[Event](limits.events)
        self._on_event = on_event or self._pushed.send_nowait

    async def command(
        self,
        event: str,
        payload: dict[str, Any],
        *,
        command_id: int | None = None,
        hear: Callable[[Any], None] | None = None,
    ) -> Any:
        """`hear` gets the payload of the reply, too: at once, before any event that came after it.

        Raises Refused (`deadline_exceeded` also when no answer came in time), Disconnected.
        """
        if len(self._waiting) >= self._limits.in_flight:
            raise Refused("too_many_in_flight")
        if command_id is None:
            command_id = self.last_id = self.last_id + 1
        waiting = self._waiting[command_id] = _Waiting(hear)
        try:
            with trio.fail_after(self._limits.command_deadline_ms / 1000):
                await self._send(encode({"id": command_id, "event": event, "payload": payload}))
                await waiting.done.wait()
        except trio.TooSlowError:
            raise Refused("deadline_exceeded") from None
        finally:
            del self._waiting[command_id]
            waiting.done.set()
        if isinstance(waiting.answer, Exception):
            raise waiting.answer
        return waiting.answer

    async def answered(self) -> None:
        """Until nobody waits any more for any of the present commands."""
        for waiting in tuple(self._waiting.values()):
            await waiting.done.wait()

    def events(self) -> AsyncIterator[Event]:
        """What the server pushes, in order, until the connection ends; for one reader. `lost` then says why."""
        return self._to_read

    # -- the connection -------------------------------------------------------------------------------------------

    async def greeted(self) -> None:
        """Raises Refused("deadline_exceeded"), Disconnected."""
        with trio.move_on_after(self._limits.connect_deadline_ms / 1000):
            await self._greeting.done.wait()
        if not isinstance(self._greeting.answer, Hello):
            raise self._greeting.answer or Refused("deadline_exceeded", "connected, but not greeted in time")
        self.hello = self._greeting.answer

    async def read(self) -> None:
        """Hands on what comes until the connection ends. The task of `connect`."""
        try:
            while not self.lost:
                message = await self._websocket.get_message()
                self.take(_decoded(message))
        except ConnectionClosed as closed:
            self.lose(_disconnected(closed))
        except Disconnected as disconnected:
            self.lose(disconnected)
        except trio.WouldBlock:
            self.lose(Disconnected(1000, f"more than {self._limits.events} events were waiting to be read"))

    def take(self, message: Event) -> None:
        self.heard_at = trio.current_time()
        match message["event"]:
            case "reply":
                self._settle(message["id"], message["payload"])
            case "error":
                problem = message["payload"]
                refused = Refused(
                    problem["code"],
                    problem["message"],
                    retry_after_ms=problem.get("retryAfterMs"),
                    websocket_url=problem.get("websocketUrl"),
                )
                self._settle(message.get("id"), refused)
            case "hello":
                hello = message["payload"]
                self._greeting.settle(Hello(hello["playerId"], hello["instance"], hello["node"], hello["serverTimeMs"]))
            case _:
                self._on_event(message)

    def _settle(self, command_id: int | None, answer: Any) -> None:
        waiting = self._waiting.get(command_id) if command_id is not None else None
        if waiting:  # nobody waits any more for an answer that came too late
            waiting.settle(answer)

    async def _send(self, data: bytes) -> None:
        if self.lost:
            raise self.lost
        sent = False
        try:
            await self._websocket.send_message(data.decode())
            sent = True
        except ConnectionClosed as closed:
            self.lose(_disconnected(closed))
            raise _disconnected(closed) from None
        finally:
            if not sent:
                self.lose(Disconnected(ABNORMAL, "a message was cut short, and with it the connection"))

    def lose(self, lost: Disconnected) -> None:
        if self.lost:
            return
        self.lost = lost
        self.ended.set()
        self._greeting.settle(self._greeting.answer or lost)
        for waiting in self._waiting.values():
            waiting.settle(lost)
        self._pushed.close()


def _decoded(message: str | bytes) -> Event:
    try:
        event: Event = decode(message.encode() if isinstance(message, str) else message)
    except msgspec.DecodeError:
        raise Disconnected(PROTOCOL_ERROR, "a message that is no JSON") from None
    return event


def _disconnected(closed: ConnectionClosed) -> Disconnected:
    if closed.reason is None:
        return Disconnected(ABNORMAL, "without a word")
    return Disconnected(closed.reason.code, closed.reason.reason or "without a word")
