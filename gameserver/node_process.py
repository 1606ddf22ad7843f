"""A node as a child process of `gameserver up`: one of several, started, started again when it dies, stopped in order.

It gets a session of its own, so that the terminal's Ctrl-C reaches only `up`, which stops things one after the other:
first the node, then its servers. It is killed with `up` (parent-death signal), so nothing is left on its ports.
"""

import contextlib
import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

from attrs import evolve

from gameserver.config import Settings
from gameserver.persistence.embedded_launch import dying_with_us
from gameserver.signs_of_life import SignsOfLife

EXIT_CANNOT_START: Final = 2
BACKOFF_MIN_S: Final = 0.5
BACKOFF_MAX_S: Final = 10.0
HEALTHY_AFTER_S: Final = 30.0  # a node that lived this long starts again at once
READY_TIMEOUT_S: Final = 1.0
DEFAULT_NAME: Final = "node"
WILDCARD_HOSTS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - asked for, never bound


def numbered(settings: Settings, number: int) -> Settings:
    """The settings of one of several nodes on this machine: a name and ports of its own; port 0 stays `any`."""
    http, websocket, admin = (
        each.port and each.port + number for each in (settings.http, settings.websocket, settings.admin)
    )
    return evolve(
        settings,
        node=evolve(settings.node, name=f"{settings.node.name or DEFAULT_NAME}-{number}"),
        http=evolve(settings.http, port=http),
        websocket=evolve(settings.websocket, port=websocket),
        admin=evolve(settings.admin, port=admin),
    )


class NodeProcess:
    """One node. It inherits `environment`, in which its own name and ports take the place of those that all share; and
    our output, unless it gets a log of its own."""

    def __init__(
        self, settings: Settings, rules: Path | None, environment: Mapping[str, str], log: BinaryIO | None = None
    ) -> None:
        self.settings, self._log = settings, log
        self._command = [*dying_with_us(signal.SIGKILL), sys.executable, "-m", "gameserver", "node"]
        if rules is not None:
            self._command += ["--rules", str(rules)]
        self.environment = {
            **environment,
            "GAMESERVER_NODE_NAME": settings.node.name,
            "GAMESERVER_HTTP_PORT": str(settings.http.port),  # by this name, because it wins over PORT
            "GAMESERVER_WEBSOCKET_PORT": str(settings.websocket.port),
            "GAMESERVER_ADMIN_PORT": str(settings.admin.port),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._signs: SignsOfLife | None = None
        self._silent_looks: int | None = None
        self._started_at = 0.0
        self._restart_at = 0.0
        self._backoff_s = BACKOFF_MIN_S

    @property
    def name(self) -> str:
        return self.settings.node.name

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._signs, self._silent_looks = SignsOfLife(), None
        self._process = subprocess.Popen(
            self._command,
            env={**self.environment, **self._signs.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def ended(self) -> int | None:
        """Its exit code (negative: the signal) once after it ended by itself; None while it runs or was noticed."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._forget()
        lived_s = time.monotonic() - self._started_at
        self._backoff_s = BACKOFF_MIN_S if lived_s > HEALTHY_AFTER_S else min(self._backoff_s * 2, BACKOFF_MAX_S)
        self._restart_at = time.monotonic() + self._backoff_s
        return code

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def restart_in_s(self) -> float:
        """Seconds until it should be started again."""
        return max(0.0, self._restart_at - time.monotonic())

    def is_silent(self, looks: int) -> bool:
        """Whether it gave signs of life, and so many looks ago has ceased to. Counted in looks, so that time in which
        we did not run ourselves does not count against it; and from the first sign on, for a start has its own time."""
        if self._signs is None:
            return False
        if self._signs.seen():
            self._silent_looks = 0
        elif self._silent_looks is not None:
            self._silent_looks += 1
        return self._silent_looks is not None and self._silent_looks >= looks

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def is_ready(self) -> bool:
        return is_ready(self.settings.http.host, self.settings.http.port)

    def ask_to_stop(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait_stopped(self, deadline_s: float) -> bool:
        """Whether it ended by itself in time; otherwise it is killed."""
        if self._process is None:
            return True
        in_time = True
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            in_time = False
            self._process.kill()
            self._process.wait()
        self._forget()
        return in_time

    def _forget(self) -> None:
        self._process = None
        if self._signs is not None:
            self._signs.close()
            self._signs = None


def is_ready(host: str, port: int) -> bool:
    """Whether the node's /readyz says yes."""
    connection = http.client.HTTPConnection(WILDCARD_HOSTS.get(host, host), port, timeout=READY_TIMEOUT_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    return False
