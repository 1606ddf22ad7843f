"""A database server as our child: started, watched until it is ready, stopped; and never left behind.

Why it cannot outlive us, nor be hurt by accident:
- it runs in a session of its own, so that the terminal's Ctrl-C reaches only us, and we stop it in order;
- the kernel sends it a signal when the thread that started it ends, `kill -9` of us included (embedded_launch.py);
- should that fail, the next start finds the orphan by its program and its current directory, and stops it first.

All of it is blocking code on purpose: it runs before and after a Trio loop, never beside one.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from gameserver.errors import StartError

POLL_INTERVAL_S: Final = 0.01
LOG_TAIL_LINES: Final = 12
LOG_LIMIT_BYTES: Final = 10_000_000

# Nothing of the caller's environment: PGOPTIONS, locales and preloaded libraries would change what the server does.
ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# Signals that end a server, gentlest first, each with the seconds that it is given.
Stops = Sequence[tuple[signal.Signals, float]]


class EmbeddedProcess:
    """One server process; its output is appended to `log_path`."""

    def __init__(self, name: str, command: Sequence[str], log_path: Path, stops: Stops) -> None:
        self._name = name
        self._command = list(command)
        self._log_path = log_path
        self._stops = stops
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, is_ready: Callable[[], bool], deadline_s: float) -> None:
        """Returns once `is_ready` says so. Raises StartError, with the end of the log, if that takes too long."""
        assert threading.current_thread() is threading.main_thread(), "the server would die with this thread"
        began = time.monotonic()
        with open_log(self._log_path) as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        while not is_ready():
            if not self.alive:
                raise self._failure("stopped while it was starting")
            if time.monotonic() - began > deadline_s:
                self.stop()
                raise self._failure(f"was not ready after {deadline_s:g} s")
            time.sleep(POLL_INTERVAL_S)

    def stop(self) -> None:
        """Returns when the process has ended. Safe to repeat."""
        if self._process is None:
            return
        for stop_signal, patience_s in self._stops:
            if not self.alive:
                return
            self._process.send_signal(stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self._process.kill()
        self._process.wait()

    def _failure(self, what: str) -> StartError:
        return StartError(f"{self._name} {what}. Its log, {self._log_path}, ends with:\n{log_tail(self._log_path)}")


def open_log(path: Path) -> BinaryIO:
    """The log, to append to; one that has grown too long is set aside as `.1` first."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return path.open("ab")


def log_tail(path: Path) -> str:
    """The last lines of a log, indented."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:]) or "    (empty)"


def stop_orphans(program: str, directory: Path, stops: Stops) -> None:
    """Ends every process of `program` whose current directory is `directory`: what an earlier run left behind.

    The caller holds the directory's lock, so none of them can belong to a run that is still alive.
    """
    for stop_signal, patience_s in (*stops, (signal.SIGKILL, 5.0)):
        orphans = _processes_in(program, directory)
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
        give_up_at = time.monotonic() + patience_s
        while orphans and time.monotonic() < give_up_at:
            time.sleep(POLL_INTERVAL_S)
            orphans = _processes_in(program, directory)
        if not orphans:
            return
    raise StartError(f"a {program} of an earlier run still works in {directory}; stop process {orphans[0]} first")


def _processes_in(program: str, directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes end while we look, and those of other users hide where they are: neither is ours.
        with contextlib.suppress(OSError):
            in_directory = (entry / "cwd").readlink() == directory
            if in_directory and (entry / "exe").readlink().name.removesuffix(" (deleted)") == program:
                found.append(int(entry.name))
    return found
