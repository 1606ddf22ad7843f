"""The nodes: real processes, each with two links of its own to the servers; killed, frozen, drained, started again."""

import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define

from gameserver.client.errors import Unreachable
from gameserver.client.http import HttpClient
from gameserver.client.limits import HttpLimits
from gameserver.config import load_settings
from gameserver.errors import Refused, StartError, unwrapped
from gameserver.node_process import NodeProcess
from gameserver.persistence.embedded_process import log_tail
from loadtest.chaos.limits import NODE_START_DEADLINE_S, NODE_STOP_DEADLINE_S, POLL_S, READ_DEADLINE_MS
from loadtest.chaos.links import Links
from loadtest.chaos.waiting import until_answered
from loadtest.node_environment import LOOPBACK, free_ports, node_environment

RULES: Final = Path(__file__).with_name("rules.py")
GUARDS: Final = {"GAMESERVER_GUARDS_MINIMUM_DURATION_MS": "0"}


@define(eq=False)
class Node:
    """One node; `links` are its ways to the servers."""

    process: NodeProcess
    links: Links
    admin: HttpClient
    token: str
    log: Path

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self.process.settings.http.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{LOOPBACK}:{self.process.settings.websocket.port}"

    async def start(self) -> None:
        """Until it is ready. Raises StartError."""
        self.process.start()
        with trio.move_on_after(NODE_START_DEADLINE_S):
            await until_answered(self._is_up)
            return
        raise StartError(f"{self.name} was not ready in time. Its log ends with:\n{log_tail(self.log)}")

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Its exit code, negative: the signal; it is killed if it takes too long."""
        with trio.move_on_after(NODE_STOP_DEADLINE_S):
            while (code := self.process.ended()) is None:  # noqa: ASYNC110 - a child tells nobody
                await trio.sleep(POLL_S)
            return code
        self.process.wait_stopped(0)
        return -signal.SIGKILL

    async def drain(self) -> None:
        """As an operator does. Raises Refused, Unreachable."""
        await self.admin.post(f"/admin/nodes/{self.name}/drain", token=self.token)

    async def read(self, path: str) -> Any:
        """From the admin API. Raises Refused, Unreachable."""
        return await self.admin.get(path, token=self.token)

    async def sees(self, nodes: int) -> bool:
        """Whether it knows of so many nodes that own actors, and have a WebSocket edge."""
        with suppress(Refused, Unreachable):
            seen = (await self.read("/admin/nodes"))["nodes"]
            usable = [each for each in seen if each["status"] == "alive" and each["owning"] and each["websocket_url"]]
            return len(usable) == nodes and await self._is_ready()
        return False

    async def _is_up(self) -> bool:
        """Raises StartError."""
        if (code := self.process.ended()) is not None:
            raise StartError(f"{self.name} has ended with {code}. Its log ends with:\n{log_tail(self.log)}")
        return await self._is_ready()

    async def _is_ready(self) -> bool:
        with suppress(Refused, Unreachable):
            await self.admin.get("/readyz")
            return True
        return False

    def stop(self) -> None:
        """At once, whatever state it is in."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait_stopped(NODE_STOP_DEADLINE_S)


@asynccontextmanager
async def open_nodes(links: Sequence[Links], folder: Path) -> AsyncIterator[list[Node]]:
    """A node for each of these, ready and in sight of each other; killed at the end. Raises StartError."""
    token = secrets.token_urlsafe(32)
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(_node(number, each, folder, token)) for number, each in enumerate(links)
        ]
        with unwrapped():
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(node.start)
        await until_whole(nodes)
        yield nodes


async def until_whole(nodes: Sequence[Node]) -> None:
    """Until each of them is ready and sees all. Raises StartError."""
    with trio.move_on_after(NODE_START_DEADLINE_S):
        for node in nodes:
            await until_answered(partial(node.sees, len(nodes)))
        return
    raise StartError("the nodes did not find each other in time")


@asynccontextmanager
async def _node(number: int, links: Links, folder: Path, token: str) -> AsyncIterator[Node]:
    name, log = f"chaos-{number}", folder / f"chaos-{number}.log"
    urls = links["postgres"].url, links["valkey"].url
    environment = {**node_environment(name, free_ports(3), *urls, folder, token), **GUARDS}
    settings, limits = load_settings(environment), HttpLimits(deadline_ms=READ_DEADLINE_MS)
    with log.open("ab") as output:
        process = NodeProcess(settings, RULES, environment, output)
        async with HttpClient(f"http://{LOOPBACK}:{settings.admin.port}", limits) as admin:
            node = Node(process, links, admin, token, log)
            try:
                yield node
            finally:
                node.stop()
