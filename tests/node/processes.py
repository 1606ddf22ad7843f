"""Nodes, and whole games, as processes: started with settings as their environment, killed, stopped, read from."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import trio
from attrs import evolve, fields

from gameserver.codec import decode
from gameserver.config import Settings
from tests.node import modes
from tests.node.world import World, eventually, opened

NODE = ("-m", "gameserver", "node", "--rules", str(Path(modes.__file__)))
DEADLINE_S = 30


def environment_of(settings: Settings) -> dict[str, str]:
    """What makes a process have these settings: each that is not the default, and nothing of ours."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("GAMESERVER_", "COV_"))}
    for unwanted in ("DATABASE_URL", "REDIS_URL", "PORT"):
        environment.pop(unwanted, None)
    plain = Settings()
    for section in fields(Settings):
        values, defaults = getattr(settings, section.name), getattr(plain, section.name)
        for each in fields(type(values)):
            if getattr(values, each.name) != getattr(defaults, each.name):
                environment[f"GAMESERVER_{section.name}_{each.name}".upper()] = str(getattr(values, each.name))
    return environment


class Process:
    """`python …` with settings, its output in a file. Killed at the end, should it still run."""

    def __init__(self, arguments: Sequence[str], settings: Settings, folder: Path) -> None:
        self._command, self._settings = [sys.executable, *arguments], settings
        self._folder = folder
        self.log = folder / "process.log"
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=environment_of(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)

    async def ended(self) -> int:
        """Its exit code, once it has one; negative: the signal that ended it."""
        await eventually(lambda: self._process.poll() is not None, "the process has ended", DEADLINE_S)
        return self._process.returncode

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def terminated(self) -> int:
        self.terminate()
        return await self.ended()

    async def says(self, text: str) -> str:
        """The output so far, once `text` is in it; fails when the process ends before."""

        def found() -> str | None:
            output = self.log.read_text(errors="replace")
            assert text in output or self._process.poll() is None, output
            return output if text in output else None

        output: str = await eventually(found, f"{text!r} in {self.log}", DEADLINE_S)
        return output


class NodeProcess(Process):
    """One node under its settings, whose log lines are JSON, so that its ports can be read."""

    def __init__(self, settings: Settings, arguments: Sequence[str] = NODE) -> None:
        as_json = evolve(settings, node=evolve(settings.node, log_format="json"))
        super().__init__(arguments, as_json, settings.node.data_dir)

    async def ports(self) -> tuple[int, int, int]:
        """HTTP, WebSocket, admin, once it is ready."""
        lines = (await self.says("node.ready")).splitlines()
        ready: dict[str, Any] = next(decode(line.encode()) for line in lines if "node.ready" in line)
        return ready["http"], ready["websocket"], ready["admin"]

    async def world(self) -> Any:
        """An async context manager that gives its World."""
        return opened(await self.ports(), self._settings.postgres.url, self._settings.admin.token)


def descendants(pid: int) -> list[int]:
    """The processes that this one has started, and those that they have, and so on."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Processes of the test's own, which do nothing for the length of the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def until_gone(pids: Sequence[int]) -> None:
    def is_gone(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state == "Z"

    await eventually(lambda: all(is_gone(pid) for pid in pids), "no process is left", DEADLINE_S)


async def until_clock(at_ms: int) -> None:
    """Until the wall clock, which is PostgreSQL's here, too, has passed `at_ms`."""
    await trio.sleep(max(0, at_ms / 1_000 - time.time()) + 0.05)


__all__ = ["NodeProcess", "Process", "World", "descendants", "environment_of", "frozen", "until_clock", "until_gone"]
