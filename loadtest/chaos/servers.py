"""The cluster's PostgreSQL and Valkey: killed, wiped and started again, and never left behind."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import trio

from gameserver.codec import decode, structure
from loadtest.chaos.child import Child, open_child
from loadtest.chaos.limits import WIPE_DEADLINE_S
from loadtest.chaos.server_child import Running

Server = Literal["postgres", "valkey"]

ANSWER_BYTES: Final = 64


class Servers:
    """Made by `open_servers`. `running` is as of the last start."""

    def __init__(self, child: Child, running: Running) -> None:
        self._child, self.running = child, running

    def kill(self, server: Server) -> None:
        """With `kill -9`: PostgreSQL has to recover from its log at the next start, Valkey has forgotten everything."""
        os.kill(self.running.postgres_pid if server == "postgres" else self.running.valkey_pid, signal.SIGKILL)

    async def restart(self, server: Server) -> None:
        """Under the same URL. Raises StartError."""
        self.running = _running(await self._child.ask(server.encode()))

    async def wipe_valkey(self) -> None:
        """Everything in it is gone, and it runs on. Raises OSError, trio.TooSlowError."""
        with trio.fail_after(WIPE_DEADLINE_S):
            async with await trio.open_unix_socket(unquote(urlsplit(self.running.redis_url).path)) as connection:
                await connection.send_all(b"FLUSHALL\r\n")
                await connection.receive_some(ANSWER_BYTES)


@asynccontextmanager
async def open_servers(folder: Path) -> AsyncIterator[Servers]:
    """Raises StartError."""
    async with open_child("loadtest.chaos.server_child", [str(folder)], folder / "servers.log") as child:
        yield Servers(child, _running(await child.hear()))


def _running(line: bytes) -> Running:
    return structure(decode(line), Running)
