"""Each node's links to the servers, which fail as networks do: relays in a process of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

from gameserver.codec import decode, encode, unstructure
from loadtest.chaos.child import Child, open_child
from loadtest.chaos.relay_child import Impairment, Order
from loadtest.chaos.server_child import Running
from loadtest.chaos.servers import Server


@frozen
class Link:
    """`url` leads to the server."""

    child: Child
    number: int
    url: str

    async def suffer(self, what: Impairment) -> None:
        await self.child.tell(encode(unstructure(Order(self.number, what))))


Links = dict[Server, Link]


@asynccontextmanager
async def open_links(nodes: int, running: Running, folder: Path) -> AsyncIterator[Sequence[Links]]:
    """The links of so many nodes. Raises StartError."""
    servers: list[tuple[Server, str]] = [("postgres", running.postgres_url), ("valkey", running.redis_url)] * nodes
    log = folder / "relays.log"
    async with open_child("loadtest.chaos.relay_child", [url for _, url in servers], log) as child:
        urls = decode(await child.hear())
        links = [(server, Link(child, number, urls[number])) for number, (server, _) in enumerate(servers)]
        yield [dict(links[start : start + 2]) for start in range(0, len(links), 2)]
