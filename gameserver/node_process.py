"""A node as a child process of `gameserver up`: started, started again when it dies, stopped in order.

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
from typing import Final

from gameserver.persistence.embedded_launch import dying_with_us

EXIT_CANNOT_START: Final = 2
BACKOFF_MIN_S: Final = 0.5
BACKOFF_MAX_S: Final = 10.0
HEALTHY_AFTER_S: Final = 30.0  # a node that lived this long starts again at once
READY_TIMEOUT_S: Final = 1.0
WILDCARD_HOSTS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - asked for, never bound


class NodeProcess:
    """One node, by its name. `environment` is all of its environment."""

    def __init__(self, name: str, rules: Path | None, environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = [*dying_with_us(signal.SIGKILL), sys.executable, "-m", "gameserver", "node"]
        if rules is not None:
            self._command += ["--rules", str(rules)]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = 0.0
        self._backoff_s = BACKOFF_MIN_S

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def ended(self) -> int | None:
        """Its exit code (negative: the signal) once after it ended by itself; None while it runs or was noticed."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
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

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.terminate()

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
        self._process = None
        return in_time


def is_ready(host: str, port: int) -> bool:
    """Whether the node's /readyz says yes."""
    connection = http.client.HTTPConnection(WILDCARD_HOSTS.get(host, host), port, timeout=READY_TIMEOUT_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    return False
