"""Running battles, made over HTTP as anyone would make them; and what else is asked over HTTP."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from attrs import frozen

from gameserver.client.http import HttpClient
from gameserver.errors import unwrapped
from loadtest.bench.bench import Bench
from loadtest.bench.loads import Seat
from loadtest.bench.servers import OurNode
from loadtest.each import by_workers
from loadtest.http_pool import HttpPool
from loadtest.meter import Meter
from loadtest.population import Population
from loadtest.simulated_player import Account

MODE: Final = "bench"
HTTP_CONNECTIONS: Final = 16
HTTP_DEADLINE_MS: Final = 20_000


@frozen
class Made:
    """A running battle: its players, those of the two sides in turns, and the WebSocket port of its owner."""

    battle_id: str
    players: Sequence[Account]
    owner_port: int


def prepare(bench: Bench, nodes: Sequence[OurNode], battles: int, size: int, mode: str = MODE) -> list[Seat]:
    """Running battles of `size` players: seat i is in battle i % battles, as with the peer. Raises Refused,
    Unreachable."""
    accounts = bench.accounts(battles * size)
    teams = [accounts[start : start + size] for start in range(0, len(accounts), size)]
    made = trio.run(_prepare, [node.http_url for node in nodes], teams, mode)
    return [
        Seat(battle.players[place].token, battle.battle_id, battle.owner_port)
        for place in range(size)
        for battle in made
    ]


def read_stats(node: OurNode) -> Any:
    """What /admin/stats says. Raises Refused, Unreachable."""

    async def read() -> Any:
        async with HttpClient(node.admin_url) as http:
            return await http.get("/admin/stats", token=node.admin_token)

    return trio.run(read)


async def _prepare(urls: Sequence[str], teams: Sequence[Sequence[Account]], mode: str) -> list[Made]:
    made: dict[int, Made] = {}
    with unwrapped():
        async with HttpPool(urls, HTTP_CONNECTIONS, HTTP_DEADLINE_MS) as http:
            population = Population(http, Meter())

            async def make(number: int) -> None:
                made[number] = await make_battle(population, number, teams[number], mode)

            await by_workers(make, range(len(teams)), HTTP_CONNECTIONS)
    return [made[number] for number in range(len(teams))]


async def make_battle(population: Population, number: int, players: Sequence[Account], mode: str) -> Made:
    """As it was read once it ran: by then it is where it stays."""
    battle_id = await open_battle(population, number, players, mode)
    for player in players[1:]:
        await population.request(f"/battles/{battle_id}/join", None, player)
    await population.request(f"/battles/{battle_id}/begin", None, players[0])
    battle = await population.request(f"/battles/{battle_id}", None, players[0], "GET")
    return Made(battle_id, players, urlsplit(battle["websocket_url"]).port or 0)


async def open_battle(population: Population, number: int, players: Sequence[Account], mode: str) -> str:
    """A pending battle of two new groups; the first player is its initiator, and nobody else has joined."""
    groups = [await population.group(f"bench-{population.run_id}-{number}-{side}", players[side::2]) for side in (0, 1)]
    body = {"group_attacker": groups[0], "group_defender": groups[1], "mode": mode}
    battle_id: str = (await population.request("/battles", body, players[0]))["id"]
    return battle_id
