"""A thousand players in running battles, made over HTTP as anyone would make them; and what else is asked over HTTP."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import trio

from gameserver.client.errors import unwrapped
from gameserver.client.http import HttpClient
from gameserver.client.limits import HttpLimits
from loadtest.bench.servers import OurNode
from loadtest.meter import Meter
from loadtest.population import Crew, Population

MODE: Final = "bench"
HTTP_CONNECTIONS: Final = 16
HTTP_DEADLINE_MS: Final = 20_000


def prepare(node: OurNode, battles: int, half: int, paths: Path) -> None:
    """Running battles of two times `half` players, and a paths file for wsload: connection i plays in battle
    i % battles, as with the peer. Raises Refused, Unreachable."""
    crews, ids = trio.run(_prepare, node.http_url, battles, half)
    lines = []
    for place in range(half * 2):
        for crew, battle_id in zip(crews, ids, strict=True):
            lines.append(f"/ws\tAuthorization: Bearer {crew.accounts[place].token}\t{battle_id}\n")
    paths.write_text("".join(lines))


def read_stats(node: OurNode) -> Any:
    """What /admin/stats says. Raises Refused, Unreachable."""

    async def read() -> Any:
        async with HttpClient(node.admin_url) as http:
            return await http.get("/admin/stats", token=node.admin_token)

    return trio.run(read)


async def _prepare(url: str, battles: int, half: int) -> tuple[Sequence[Crew], Sequence[str]]:
    limits = HttpLimits(connections=HTTP_CONNECTIONS, deadline_ms=HTTP_DEADLINE_MS)
    with unwrapped():
        async with HttpClient(url, limits) as http:
            population = Population(http, Meter())
            crews = await population.make(battles, half, 0, HTTP_CONNECTIONS)
            ids = [""] * len(crews)

            async def begin(place: int) -> None:
                ids[place] = await _begin(population, crews[place])

            async with trio.open_nursery() as nursery:
                for place in range(len(crews)):
                    nursery.start_soon(begin, place)
    return crews, ids


async def _begin(population: Population, crew: Crew) -> str:
    attack = crew.next_attack()
    initiator = crew.accounts[attack.initiator]
    body = {"group_attacker": attack.attacker, "group_defender": attack.defender, "mode": MODE}
    battle_id: str = (await population.request("/battles", body, initiator))["id"]
    for account in crew.accounts:
        if account is not initiator:
            await population.request(f"/battles/{battle_id}/join", None, account)
    await population.request(f"/battles/{battle_id}/begin", None, initiator)
    return battle_id
