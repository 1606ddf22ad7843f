"""Signs of life that a node gives to whoever supervises its process, in systemd's words: sd_notify(3).

    NOTIFY_SOCKET   in the node's environment: the datagram socket that wants them; `@` begins an abstract address
    WATCHDOG=1      one sign

So a node under systemd (`WatchdogSec=`) is supervised like one under `gameserver up`. What counts is that the node's
event loop gives the signs (see pulse.py): one that hangs for ever in C code, which nothing can interrupt, gives none.
"""

import contextlib
import os
import socket
from functools import cache
from typing import Final

SIGN: Final = b"WATCHDOG=1"
VARIABLE: Final = "NOTIFY_SOCKET"


def give_sign() -> None:
    """Never blocks, and never raises: that nobody listens is the supervisor's affair."""
    address = os.environ.get(VARIABLE)
    if address:
        with contextlib.suppress(OSError):
            _own_socket().sendto(SIGN, "\0" + address[1:] if address.startswith("@") else address)


class SignsOfLife:
    """The supervisor's side, for one process, which is to be started with `environment`."""

    def __init__(self) -> None:
        self._socket = _datagram_socket()
        self._socket.bind("")  # the kernel finds an abstract address
        self.environment = {VARIABLE: "@" + self._socket.getsockname()[1:].decode()}

    def seen(self) -> bool:
        """Whether there were any since the last look."""
        seen = False
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(len(SIGN)):
                seen = True
        return seen

    def close(self) -> None:
        self._socket.close()


@cache
def _own_socket() -> socket.socket:
    """Opened for the first sign, and kept: a node that has run out of file descriptors is alive, and has to say so."""
    return _datagram_socket()


def _datagram_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
