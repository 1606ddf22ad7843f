"""A thousand players in running battles, made over HTTP as anyone would make them; and what else is asked over HTTP."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from attrs import frozen

from gameserver.client.errors import unwrapped
from gameserver.client.http import HttpClient
from loadtest.bench.servers import OurNode
from loadtest.http_pool import HttpPool
from loadtest.meter import Meter
from loadtest.population import Crew, Population

MODE: Final = "bench"
HTTP_CONNECTIONS: Final = 16
HTTP_DEADLINE_MS: Final = 20_000


@frozen
class Seat:
    """A player of a running battle, and the WebSocket port of the node that owns it."""

    token: str
    battle_id: str
    owner_port: int


def prepare(nodes: Sequence[OurNode], battles: int, half: int) -> list[Seat]:
    """Running battles of two times `half` players: seat i is in battle i % battles, as with the peer. Raises Refused,
    Unreachable."""
    crews, begun = trio.run(_prepare, [node.http_url for node in nodes], battles, half)
    return [
        Seat(crew.accounts[place].token, battle["id"], urlsplit(battle["websocket_url"]).port or 0)
        for place in range(half * 2)
        for crew, battle in zip(crews, begun, strict=True)
    ]


def write_paths(paths: Path, seats: Sequence[tuple[Seat, int]]) -> None:
    """A paths file for wsload: who connects, and to which port."""
    lines = [f"/ws\tAuthorization: Bearer {seat.token}\t{seat.battle_id}\t{port}\n" for seat, port in seats]
    paths.write_text("".join(lines))


def read_stats(node: OurNode) -> Any:
    """What /admin/stats says. Raises Refused, Unreachable."""

    async def read() -> Any:
        async with HttpClient(node.admin_url) as http:
            return await http.get("/admin/stats", token=node.admin_token)

    return trio.run(read)


async def _prepare(urls: Sequence[str], battles: int, half: int) -> tuple[Sequence[Crew], Sequence[Any]]:
    with unwrapped():
        async with HttpPool(urls, HTTP_CONNECTIONS, HTTP_DEADLINE_MS) as http:
            population = Population(http, Meter())
            crews = await population.make(battles, half * 2, 0, HTTP_CONNECTIONS)
            begun: list[Any] = [None] * len(crews)

            async def begin(place: int) -> None:
                begun[place] = await _begin(population, crews[place])

            async with trio.open_nursery() as nursery:
                for place in range(len(crews)):
                    nursery.start_soon(begin, place)
    return crews, begun


async def _begin(population: Population, crew: Crew) -> Any:
    """The battle as it was read once it ran: by then it is where it stays."""
    attack = crew.next_attack()
    initiator = crew.accounts[attack.initiator]
    body = {"group_attacker": attack.attacker, "group_defender": attack.defender, "mode": MODE}
    battle_id: str = (await population.request("/battles", body, initiator))["id"]
    for account in crew.accounts:
        if account is not initiator:
            await population.request(f"/battles/{battle_id}/join", None, account)
    await population.request(f"/battles/{battle_id}/begin", None, initiator)
    return await population.request(f"/battles/{battle_id}", None, initiator, "GET")
