"""People of the game, as tests need them: they register, found groups, start battles and connect, all from outside."""

import asyncio
import http.client
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import trio
from attrs import Factory, define, frozen

from gameserver.client.connection import Connection, Event, connect
from gameserver.client.http import HttpClient
from gameserver.client.limits import ConnectionLimits, HttpLimits
from gameserver.codec import decode

PATIENCE_S = 15

numbers = itertools.count(1)


async def eventually(look: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    """What `look` gives, once that is true; it may be a coroutine function."""
    with trio.move_on_after(within_s):
        while True:
            found = look()
            if hasattr(found, "__await__"):
                found = await found
            if found:
                return found
            await trio.sleep(0.01)
    raise AssertionError(f"never came true: {what}")


@frozen
class Person:
    id: str
    name: str
    token: str
    refresh_token: str


@frozen
class Duel:
    """A battle, its two groups by side, and their people; the first of each side owns the group and has a seat."""

    battle_id: str
    groups: dict[str, str]
    attackers: list[Person]
    defenders: list[Person]

    @property
    def path(self) -> str:
        return f"/battles/{self.battle_id}"


@define
class Witness:
    """Everything that one connection was pushed, in order."""

    events: list[Event] = Factory(list)

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event["event"] == name]

    def battle(self, battle_id: str) -> list[Event]:
        """The battle's own stream: what has a seq. Groups are told of its creation apart from that."""
        return [event for event in self.events if "seq" in event and event["payload"]["battleId"] == battle_id]

    def seqs(self, battle_id: str) -> list[int]:
        return [event["seq"] for event in self.battle(battle_id)]

    async def until(self, name: str, count: int = 1) -> Event:
        await eventually(lambda: len(self.of(name)) >= count, f"{count} times {name}; there was {self._names()}")
        return self.of(name)[count - 1]

    async def until_seq(self, battle_id: str, seq: int) -> None:
        await eventually(lambda: seq in self.seqs(battle_id), f"event {seq}; there was {self._names()}")

    def _names(self) -> list[str]:
        return [event["event"] for event in self.events]


@frozen
class World:
    """A running node as it looks from outside. Open it with `async with opened(...)`."""

    http: HttpClient
    admin: HttpClient
    websocket_url: str
    database_url: str
    admin_token: str

    # -- people and groups --------------------------------------------------------------------------------------------

    async def person(self) -> Person:
        name = f"Player {next(numbers)}"
        made = await self.http.post("/players", {"username": name})
        return Person(made["id"], name, made["token"], made["refresh_token"])

    async def group(self, owner: Person, *members: Person) -> str:
        group_id: str = (await self.post(owner, "/groups", {"name": f"Group {next(numbers)}"}))["id"]
        for member in members:
            await self.post(member, f"/groups/{group_id}/join")
        return group_id

    async def duel(self, *, each: int = 1, mode: str = "classic", seated: bool = True, begun: bool = True) -> Duel:
        """A battle of two fresh groups; by default everybody has a seat and it is running."""
        attackers = [await self.person() for _ in range(each)]
        defenders = [await self.person() for _ in range(each)]
        groups = {"attacker": await self.group(*attackers), "defender": await self.group(*defenders)}
        battle = await self.post(attackers[0], "/battles", against(groups, mode))
        duel = Duel(battle["id"], groups, attackers, defenders)
        if seated:
            for person in (*attackers[1:], *defenders):
                await self.post(person, f"{duel.path}/join")
        if begun:
            await self.post(attackers[0], f"{duel.path}/begin")
        return duel

    # -- calls --------------------------------------------------------------------------------------------------------

    async def post(self, person: Person, path: str, body: Any = None, key: str | None = None) -> Any:
        return await self.http.post(path, body, token=person.token, key=key)

    async def get(self, person: Person, path: str) -> Any:
        return await self.http.get(path, token=person.token)

    async def ordered(self, path: str, method: str = "POST") -> Any:
        """An operator's call."""
        return await self.admin.request(method, path, token=self.admin_token)

    async def inspected(self, actor_id: str) -> Any:
        return await self.ordered(f"/admin/battles/{actor_id}", "GET")

    async def stats(self) -> Any:
        return await self.ordered("/admin/stats", "GET")

    async def finish(self, duel: Duel) -> None:
        """By an operator, who is bound by nothing."""
        await self.ordered(f"/admin{duel.path}/finish")

    # -- sockets ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def connected(
        self, person: Person, witness: Witness | None = None, *, instance: int | None = None, last_id: int = 0
    ) -> AsyncIterator[Connection]:
        note = (witness or Witness()).events.append
        limits = ConnectionLimits(close_deadline_ms=200)
        url, token = self.websocket_url, person.token
        async with connect(url, token, instance, last_id=last_id, on_event=note, limits=limits) as player:
            yield player

    @property
    def websocket_port(self) -> int:
        return int(self.websocket_url.rpartition(":")[2])

    # -- what is durable ----------------------------------------------------------------------------------------------

    async def rows(self, query: str, *args: Any) -> list[Any]:
        return await rows(self.database_url, query, *args)

    async def journal(self, actor_id: str | None = None) -> list[Event]:
        """The public events of one actor, or of all, each actor's in order."""
        query = "SELECT public FROM journal WHERE $1::uuid IS NULL OR actor_id = $1 ORDER BY actor_id, seq"
        return [decode(line) for row in await self.rows(query, actor_id) for line in row["public"].split(b"\n")]

    async def written(self) -> dict[str, int]:
        """How many rows there are of everything that a command could leave behind."""
        tables = (
            "journal",
            "actors",
            "players",
            "groups",
            "group_members",
            "battles",
            "battle_members",
            "battle_scores",
        )
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
        return dict((await self.rows(f"SELECT {counts}"))[0])


def against(groups: dict[str, str], mode: str = "classic") -> dict[str, str]:
    return {"group_attacker": groups["attacker"], "group_defender": groups["defender"], "mode": mode}


async def rows(database_url: str, query: str, *args: Any) -> list[Any]:
    """On a connection of its own, in a thread: asyncpg knows no Trio."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    return await trio.to_thread.run_sync(lambda: asyncio.run(fetch()))


@asynccontextmanager
async def opened(ports: tuple[int, int, int], database_url: str, admin_token: str) -> AsyncIterator[World]:
    """The world of a node that listens on these ports: HTTP, WebSocket, admin."""
    http_port, websocket_port, admin_port = ports
    limits = HttpLimits(deadline_ms=PATIENCE_S * 1_000)
    async with (
        HttpClient(f"http://127.0.0.1:{http_port}", limits) as public,
        HttpClient(f"http://127.0.0.1:{admin_port}", limits) as admin,
    ):
        yield World(public, admin, f"ws://127.0.0.1:{websocket_port}", database_url, admin_token)


@asynccontextmanager
async def world_of(running: Any) -> AsyncIterator[World]:
    """The world of a NodeThread."""
    node, settings = running.node, running.settings
    ports = node.http_port, node.websocket_port, node.admin_port
    async with opened(ports, settings.postgres.url, settings.admin.token) as world:
        yield world


async def request(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of one HTTP request that is sent just as it is given."""

    def ask() -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data and decode(data)
        finally:
            connection.close()

    return await trio.to_thread.run_sync(ask)
