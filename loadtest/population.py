"""The players and their groups, made over HTTP as anyone would make them.

A crew fights among itself, one half against the other, battle after battle. A group attacks once in five minutes and a
player creates one battle a minute, so a crew has several pairs of groups, and each group attacks in its turn.
"""

import random
import uuid
from collections.abc import Sequence
from math import ceil
from typing import Any, Final

import trio
from attrs import define, field, frozen

from gameserver.client.errors import Unreachable
from gameserver.errors import Refused
from loadtest.each import by_workers
from loadtest.http_pool import HttpPool
from loadtest.limits import RETRY_PAUSE_S, ROUND_LEAST_S, SETS_LIMIT, TRIES
from loadtest.meter import Meter
from loadtest.simulated_player import Account

MODE: Final = "skirmish"


@frozen
class Attack:
    """Who attacks whom in one battle, and who of the attackers creates it (a place among the crew's players)."""

    attacker: str
    defender: str
    initiator: int


@define(eq=False)
class Crew:
    """Players, the first half against the second, and their pairs of groups."""

    number: int
    accounts: Sequence[Account]
    pairs: Sequence[tuple[str, str]]
    battles: int = 0

    def next_attack(self) -> Attack:
        """Both groups of a pair attack once before the next pair's turn; the initiator changes with every two."""
        number, self.battles = self.battles, self.battles + 1
        pair, backwards = self.pairs[number // 2 % len(self.pairs)], number % 2
        attacker, defender = reversed(pair) if backwards else pair
        half = len(self.accounts) // 2
        return Attack(attacker, defender, initiator=number // 2 % half + backwards * half)


@define
class Population:
    http: HttpPool
    meter: Meter
    run_id: str = field(factory=lambda: f"{random.randrange(16**6):06x}")

    async def make(self, crews: int, size: int, seconds: float, workers: int) -> list[Crew]:
        """Crews of `size` players. Raises Refused, Unreachable."""
        players = crews * size
        pairs = min(SETS_LIMIT, max(1, ceil(seconds / ROUND_LEAST_S / 2)))
        self.meter.phase, self.meter.to_prepare = "registering", players * (1 + pairs)
        accounts: list[Account | None] = [None] * players

        async def register(place: int) -> None:
            accounts[place] = await self._register(place)

        await by_workers(register, range(players), workers)
        registered = [account for account in accounts if account is not None]
        teams = [registered[start : start + size] for start in range(0, players, size)]
        self.meter.phase = "grouping"
        made: list[Crew] = []

        async def group(number: int) -> None:
            made.append(await self._crew(number, teams[number], pairs))

        await by_workers(group, range(crews), workers)
        return made

    async def _register(self, place: int) -> Account:
        player = await self.request("/players", {"username": f"load-{self.run_id}-{place}"}, None)
        return Account(player["id"], player["token"])

    async def _crew(self, number: int, accounts: Sequence[Account], pairs: int) -> Crew:
        made, half = [], len(accounts) // 2
        for pair in range(pairs):
            name = f"load-{self.run_id}-{number}-{pair}"
            attackers = await self.group(f"{name}-a", accounts[:half])
            made.append((attackers, await self.group(f"{name}-b", accounts[half:])))
        return Crew(number, accounts, made)

    async def group(self, name: str, members: Sequence[Account]) -> str:
        owner, *others = members
        group_id: str = (await self.request("/groups", {"name": name}, owner))["id"]
        for member in others:
            await self.request(f"/groups/{group_id}/join", None, member)
        return group_id

    async def request(self, path: str, body: Any, account: Account | None, method: str = "POST") -> Any:
        """Repeated under its own Idempotency-Key, at the next node, as long as that may help. Raises Refused,
        Unreachable."""
        key, token = str(uuid.uuid4()), account.token if account else None
        for attempt in range(TRIES):
            try:
                answer = await self.http.request(method, path, body, token=token, key=key)
            except Refused as refused:
                self.meter.refusals[refused.code] += 1
                if not refused.retryable or attempt == TRIES - 1:
                    raise
            except Unreachable:
                if attempt == TRIES - 1:
                    raise
            else:
                self.meter.prepared += 1
                return answer
            await trio.sleep(RETRY_PAUSE_S * (attempt + 1))
        raise AssertionError("unreachable")
