"""A child process that is told what to do line by line, and answers line by line. It ends with its input."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from gameserver.errors import StartError
from gameserver.persistence.embedded_process import log_tail
from loadtest.chaos.limits import CHILD_ANSWER_DEADLINE_S, CHILD_STOP_DEADLINE_S

RECEIVE_BYTES: Final = 65_536


class Child:
    """Made by `open_child`."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        assert process.stdin is not None, "a pipe"
        assert process.stdout is not None, "a pipe"
        self.process, self._log = process, log
        self._input, self._output = process.stdin, process.stdout
        self._heard = b""
        self._turn = trio.Lock()

    async def tell(self, line: bytes) -> None:
        async with self._turn:
            await self._input.send_all(line + b"\n")

    async def ask(self, line: bytes) -> bytes:
        """Its answer. Raises StartError."""
        async with self._turn:
            await self._input.send_all(line + b"\n")
            return await self.hear()

    async def hear(self) -> bytes:
        """The next line. Raises StartError if the child has ended, or takes too long."""
        with trio.move_on_after(CHILD_ANSWER_DEADLINE_S):
            while b"\n" not in self._heard and (data := await self._output.receive_some(RECEIVE_BYTES)):
                self._heard += data
        line, newline, self._heard = self._heard.partition(b"\n")
        if not newline:
            raise StartError(f"a child process did not answer. Its log ends with:\n{log_tail(self._log)}")
        return line

    async def stop(self) -> None:
        await self._input.aclose()
        with trio.move_on_after(CHILD_STOP_DEADLINE_S) as patience:
            await self.process.wait()
        if patience.cancelled_caught:
            self.process.kill()
            await self.process.wait()
        await self._output.aclose()


@asynccontextmanager
async def open_child(module: str, arguments: Sequence[str], log: Path) -> AsyncIterator[Child]:
    """`python -m module …`, in a session of its own, so that Ctrl-C reaches only us; stopped at the end."""
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    child = Child(process, log)
    try:
        yield child
    finally:
        with trio.CancelScope(shield=True):
            await child.stop()
