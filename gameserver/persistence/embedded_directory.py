"""The folders of an embedded server: a lock that only one run can hold, and a private place for the socket.

Sockets cannot live beside the data: their whole path has to fit into 108 bytes, and a checkout's may be longer.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gameserver.errors import StartError

SOCKET_DIRECTORY_PREFIX: Final = "gameserver-"
SOCKET_DIRECTORY_LIMIT_BYTES: Final = 80  # leaves room for the socket's own name
LOCK_PATIENCE_S: Final = 1.0  # a run that was killed a moment ago may not be gone yet
POLL_INTERVAL_S: Final = 0.02


def made(path: Path) -> Path:
    """The folder, made if it was missing, by its real absolute path. Others may pass through it, but not look."""
    try:
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        return path.resolve(strict=True)
    except OSError as error:
        raise StartError(
            f"{path} cannot be used for data ({error.strerror}); choose another GAMESERVER_NODE_DATA_DIR"
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file; the kernel lets go of it when we end, however we end.

    Raises StartError if another process holds it, and goes on holding it for LOCK_PATIENCE_S.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"{path.parent} belongs to another user ({error.strerror}); use that one, or remove it"
        ) from error
    try:
        _take(lock, path)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def _take(lock: int, path: Path) -> None:
    give_up_at = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < give_up_at:
                time.sleep(POLL_INTERVAL_S)
                continue
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise StartError(
                f"{path.parent} is in use by another run (process {holder}); stop that one, "
                "or choose another GAMESERVER_NODE_DATA_DIR"
            ) from None
        return


@contextlib.contextmanager
def socket_directory(record: Path, owner: int) -> Iterator[Path]:
    """A short, private folder of user `owner`, removed at the end.

    `record`, a link to it beside the data, lets the next start remove what a `kill -9` left behind.
    """
    _remove(record)
    directory = _short_directory()
    try:
        record.symlink_to(directory)
        if os.geteuid() == 0:
            os.chown(directory, owner, -1)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        record.unlink(missing_ok=True)


def _short_directory() -> Path:
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", f"/run/user/{os.geteuid()}", "/dev/shm")):  # noqa: S108
        with contextlib.suppress(OSError):
            directory = Path(tempfile.mkdtemp(prefix=SOCKET_DIRECTORY_PREFIX, dir=parent))
            if len(os.fsencode(directory)) <= SOCKET_DIRECTORY_LIMIT_BYTES:
                return directory
            directory.rmdir()
    raise StartError("there is no temporary folder with a short path that we may write to; set TMPDIR to one")


def _remove(record: Path) -> None:
    """Removes the folder that an earlier run recorded, if it still looks like one of ours."""
    if not record.is_symlink():
        return
    left_behind = record.readlink()
    if left_behind.name.startswith(SOCKET_DIRECTORY_PREFIX) and not left_behind.is_symlink():
        shutil.rmtree(left_behind, ignore_errors=True)
    record.unlink()
