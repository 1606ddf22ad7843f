"""The hub: the WebSocket edge for Linux, one task for all sockets.

All sockets, and those that listen, stand in one epoll, which is itself waited for in Trio's. One wake-up takes as many
of them as are ready, in turns (see turns.py), so that timers, commits and actors stay on time. A connection has neither
task nor timer nor, while it is idle, any buffer: one wheel has the deadlines of all.

Invariants:
- A socket is closed only between two polls. Descriptors are given out again at once, and what an older poll has said of
  one must not reach who has it next.
- Whatever goes wrong with a connection ends it, and no other; nothing of it is raised to who sends or closes.
- When the hub has ended, so have all connections: no descriptor is left, and every endpoint has been told.

When the edge is cancelled it stops accepting, tells every client that the node is going away, and waits for them within
the deadline for closing: the tasks are shielded from that cancellation.
"""

import errno
import select
import socket
from collections.abc import Iterator
from typing import Final, Self

import structlog
import trio

from gameserver.beats import next_beat
from gameserver.config import WebSocketSettings
from gameserver.net.bulk import open_bulk
from gameserver.net.edge import Edge, EdgeCounters, OpenEndpoint, listen
from gameserver.net.handshake import Admit
from gameserver.net.hub_connection import READ, HubConnection
from gameserver.net.timer_wheel import TimerWheel
from gameserver.protocol.close_codes import CloseCode
from gameserver.turns import in_turns, strides

EVENTS_AT_ONCE: Final = 1_024
READ_AT_ONCE: Final = 4
"""Sockets that one step goes over: a message takes some microseconds, but a handshake 0.3 ms."""
ACCEPTED_AT_ONCE: Final = 64
INHERITED: Final = {
    socket.TCP_NODELAY: 1,
    socket.TCP_NOTSENT_LOWAT: 65_536,  # what waits for a client shall wait here, where it is counted
}
"""Options of a listener that whoever is accepted there inherits."""
NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC)

log = structlog.get_logger()


async def serve_hub(
    settings: WebSocketSettings,
    admit: Admit,
    open_endpoint: OpenEndpoint,
    counters: EdgeCounters,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the port. Raises StartError if the address cannot be had."""
    listeners = await listen(settings)
    port = listeners[0].socket.getsockname()[1]
    sockets = [_plain(listener.socket) for listener in listeners]
    with open_bulk(settings) as bulk, Hub(Edge(settings, open_endpoint, counters, admit, bulk), sockets) as hub:
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.run)
            task_status.started(port)
            try:
                await trio.sleep_forever()
            finally:
                hub.stop()


class Hub:
    """Owns the listeners, and whatever connects to them. Use it as a context manager."""

    def __init__(self, edge: Edge, listeners: list[socket.socket]) -> None:
        self._edge = edge
        self._epoll = select.epoll()
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._deaf = False
        """The listeners are not looked at: there is no room for more descriptors."""
        self._connections: dict[int, HubConnection] = {}
        self._graves: list[HubConnection] = []
        self._life = trio.CancelScope(shield=True)
        self.now = trio.current_time()
        self._wheel: TimerWheel[HubConnection] = TimerWheel(edge.tick_s, self.now)
        for listener in listeners:
            for option, value in INHERITED.items():
                listener.setsockopt(socket.IPPROTO_TCP, option, value)
            self._epoll.register(listener, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_listening()
        for connection in list(self._connections.values()):
            connection.cut()
        self._bury()
        self._epoll.close()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        with self._life:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                task_status.started()
                await self._keep_reading()
                nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Take nobody new, and let everybody go; `run` ends when they have, or at the deadline for closing."""
        self._edge.stopping = True
        self._stop_listening()
        wait_s = self._edge.settings.close_deadline_ms / 1000 if self._connections else 0.0
        self._life.deadline = trio.current_time() + wait_s
        for connection in list(self._connections.values()):
            if connection.endpoint is not None:  # the others are refused when their request is whole
                connection.close(CloseCode.GOING_AWAY)

    # -- for connections ----------------------------------------------------------------------------------------------

    def watch(self, connection: HubConnection, events: int) -> None:
        self._epoll.modify(connection.socket, events)

    def call_at(self, connection: HubConnection, at: float) -> None:
        self._wheel.put(connection, at)

    def bury(self, connection: HubConnection) -> None:
        self._wheel.remove(connection)
        self._graves.append(connection)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _keep_reading(self) -> None:
        while self._connections or not self._edge.stopping:
            await trio.lowlevel.wait_readable(self._epoll)
            self.now = trio.current_time()
            await in_turns(self._read(self._epoll.poll(0, EVENTS_AT_ONCE)))
            self._bury()

    def _read(self, ready: list[tuple[int, int]]) -> Iterator[None]:
        connections = self._connections
        for some in strides(ready, READ_AT_ONCE):
            for descriptor, events in some:
                connection = connections.get(descriptor)
                if connection is None:
                    yield from self._accept(descriptor)
                elif not connection.gone:
                    connection.ready(events)
            yield

    def _bury(self) -> None:
        """Close the sockets of those that are gone; also of those that go meanwhile."""
        while self._graves:
            connection = self._graves.pop()
            del self._connections[connection.descriptor]
            connection.end()
            self._edge.counters.connections -= 1

    # -- accepting ----------------------------------------------------------------------------------------------------

    def _accept(self, descriptor: int) -> Iterator[None]:
        for _ in range(ACCEPTED_AT_ONCE):
            listener = self._listeners.get(descriptor)
            if listener is None:  # it has stopped listening meanwhile
                return
            try:
                accepted, _address = listener.accept()
                self._take_in(accepted)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in NO_ROOM:
                    log.warning("websocket.no_room", error=str(error))
                    self._turn_deaf()
                    return
                # else a client that has gone already
            yield

    def _take_in(self, accepted: socket.socket) -> None:
        """Raises OSError if the kernel has no room to watch it."""
        if self._edge.full:
            accepted.close()
            return
        try:
            accepted.settimeout(0)
            self._epoll.register(accepted, READ)
        except OSError:
            accepted.close()
            raise
        self._edge.counters.connections += 1
        self._edge.counters.connections_total += 1
        self._connections[accepted.fileno()] = HubConnection(accepted, self._edge, self)

    def _turn_deaf(self) -> None:
        """Until the clock's next look: who waits to be accepted would wake us all the time."""
        self._deaf = True
        for listener in self._listeners.values():
            self._epoll.modify(listener, 0)

    def _hear_again(self) -> None:
        self._deaf = False
        for listener in self._listeners.values():
            self._epoll.modify(listener, select.EPOLLIN)

    def _stop_listening(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    # -- the clock ----------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        while True:
            await next_beat(self._edge.tick_s)
            if self._deaf:
                self._hear_again()
            await in_turns(self._look_after_all())

    def _look_after_all(self) -> Iterator[None]:
        now = trio.current_time()
        for connection in self._wheel.due(now):
            connection.look(now)
            yield


def _plain(listener: trio.socket.SocketType) -> socket.socket:
    """Trio's own socket can only accept by awaiting; underneath is an ordinary one that can just try."""
    family, kind, protocol = listener.family, listener.type, listener.proto
    plain = socket.socket(family, kind, protocol, fileno=listener.detach())
    plain.settimeout(0)
    return plain
