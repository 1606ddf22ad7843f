"""An HTTP app on a port: hypercorn's Trio worker, on a socket that we bind ourselves.

Binding it here gives the port back when any would do, and a clear word when it is taken. Idle connections, and those
that never finish their headers, are closed after a while; a body's time is the request's own (see http/app.py).
"""

import logging
import socket
from typing import Final

import trio
from attrs import frozen
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from quart_trio import QuartTrio

from gameserver.errors import StartError

BACKLOG: Final = 1_024
KEEP_ALIVE_S: Final = 15
SILENCE_S: Final = 30
GRACE_S: Final = 3.0


async def serve(
    app: QuartTrio,
    host: str,
    port: int,
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
    async with trio.open_nursery() as nursery:
        await nursery.start(_serve, app, listener, stop)
        task_status.started(bound_port)


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


@frozen
class _Finishing:
    """An app whose answers end as they should.

    quart_trio cancels whoever sends an answer once hypercorn has told it that the answer is complete: while hypercorn
    is still closing the connection, or setting the alarm that would close it later. So the last part goes shielded.
    """

    app: QuartTrio

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def send_wholly(message: ASGISendEvent) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            with trio.CancelScope(shield=last):
                await send(message)

        await self.app(scope, receive, send_wholly)


async def _serve(
    app: QuartTrio, listener: socket.socket, stop: trio.Event, task_status: trio.TaskStatus[list[str]]
) -> None:
    sockets = Sockets(secure_sockets=[], insecure_sockets=[listener], quic_sockets=[])
    await worker_serve(
        ASGIWrapper(_Finishing(app)), _config(), sockets=sockets, shutdown_trigger=stop.wait, task_status=task_status
    )


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")  # as it is: the node's own logging decides what is shown
    config.errorlog.setLevel(logging.WARNING)
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.read_timeout = SILENCE_S
    config.graceful_timeout = GRACE_S
    config.include_server_header = False
    return config
