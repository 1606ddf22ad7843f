"""An HTTP app on a port: a task for each connection, and an end to their number.

A connection that is idle for too long is closed, and so is one that does not get its headers sent, or does not take its
answer; a body's time is the request's own (see http/app.py).
"""

import socket
from functools import partial
from typing import Final

import trio
from attrs import define

from gameserver.config import HttpSettings
from gameserver.errors import StartError
from gameserver.net.http_connection import HttpConnection
from gameserver.net.http_exchange import App

BACKLOG: Final = 1_024
GRACE_S: Final = 3.0


@define
class HttpCounters:
    """What a port holds now, and what it did since the start (`*_total`)."""

    connections: int = 0
    connections_refused_total: int = 0


async def serve(
    app: App,
    settings: HttpSettings,
    host: str,
    port: int,
    counters: HttpCounters,
    *,
    stop: trio.Event,
    setting: str,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set (requests at work get a few seconds to end) or until cancelled (they end at once).

    Started with the port that is bound. `setting` is the name of the port's setting, for the words of StartError.
    """
    listener = listen(host, port, setting)
    bound_port: int = listener.getsockname()[1]
    server = _Server(app, settings, counters)
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:
            accept = partial(trio.serve_listeners, server.serve, handler_nursery=connections)
            await accepting.start(accept, [trio.SocketListener(trio.socket.from_stdlib_socket(listener))])
            task_status.started(bound_port)
            await stop.wait()
            accepting.cancel_scope.cancel()
        server.end()
        connections.cancel_scope.deadline = trio.current_time() + GRACE_S


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket. Raises StartError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(
            f"{host!r} is no address to listen on: {error}; set {setting.replace('PORT', 'HOST')}"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(0)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or set {setting} to another port"
        ) from error
    return listener


class _Server:
    def __init__(self, app: App, settings: HttpSettings, counters: HttpCounters) -> None:
        self._app, self._settings, self._counters = app, settings, counters
        self._live: set[HttpConnection] = set()
        self._ending = False

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection; whoever accepted it closes it afterwards."""
        if self._ending or len(self._live) >= self._settings.connections_limit:
            self._counters.connections_refused_total += 1
            return
        try:
            connection = HttpConnection(self._app, stream, self._settings)
        except OSError:
            return
        self._live.add(connection)
        self._counters.connections += 1
        try:
            await connection.run()
        finally:
            self._live.discard(connection)
            self._counters.connections -= 1

    def end(self) -> None:
        self._ending = True
        for connection in self._live:
            connection.end()
