"""Joining over HTTP, beside the original design's way of it (query_per_step.py): the same callers, the same calls."""

import sys
import time
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from gameserver.errors import unwrapped
from gameserver.ids import new_id
from loadtest.bench.battles import HTTP_DEADLINE_MS, MODE, open_battle
from loadtest.bench.bench import Bench, say
from loadtest.bench.database import battle_members, execute, fresh_database, require_equal, write_rows
from loadtest.bench.loads import Load
from loadtest.bench.measure import Values
from loadtest.bench.query_per_step import KEY, SCHEMA
from loadtest.bench.scenario import Column, Figure, Scenario, Side, ratio
from loadtest.bench.servers import answers, child, wait
from loadtest.bench.sides import OURS
from loadtest.each import by_workers
from loadtest.http_pool import HttpPool
from loadtest.meter import Meter, quantile
from loadtest.node_environment import LOOPBACK, free_ports, plain_environment
from loadtest.population import Population
from loadtest.simulated_player import Account

MEMBERS: Final = 500
CALLERS: Final = 16
BATTLES: Final = 4
"""One after the other, the first of them to warm up."""
PER_STEP: Final = "a query per step, an event per member"


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:  # noqa: ARG001 - it lasts as long as it takes
    return Side(OURS, partial(_ours, bench)), Side(PER_STEP, partial(_per_step, bench))


def _ours(bench: Bench) -> Values:
    database, players = bench.fresh("bench_ours"), bench.accounts(MEMBERS + 1)
    with bench.nodes(1, database) as (node,):
        battles = trio.run(_open_battles, node.http_url, players)
        values = trio.run(_join_battles, node.http_url, battles, players[1:])
    require_equal(BATTLES * MEMBERS, battle_members(database) - BATTLES)  # the initiators have not joined
    return values


async def _open_battles(url: str, players: Sequence[Account]) -> list[str]:
    battles: list[str] = []
    with unwrapped():
        async with HttpPool([url], CALLERS, HTTP_DEADLINE_MS) as http:
            population = Population(http, Meter())

            async def open_one(number: int) -> None:
                battles.append(await open_battle(population, number, players, MODE))

            await by_workers(open_one, range(BATTLES), BATTLES)
    return battles


def _per_step(bench: Bench) -> Values:
    database, players = fresh_database(bench.postgres_url, "bench_per_step"), bench.accounts(MEMBERS + 1)
    execute(database, SCHEMA)
    battles = _write_battles(database, players)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "loadtest.bench.query_per_step", "--port", str(port)]
    command += ["--postgres", database, "--redis", bench.redis_url]
    log = bench.folder / "query-per-step.log"
    with child(command, {**plain_environment(), KEY: bench.signing_key}, log) as process:
        wait(process, lambda: answers(port), log)
        say(f"  process {process.pid}")
        values = trio.run(_join_battles, f"http://{LOOPBACK}:{port}", battles, players[1:])
    require_equal(BATTLES * MEMBERS, battle_members(database) - BATTLES)
    return values


def _write_battles(database: str, players: Sequence[Account]) -> list[str]:
    """As ours have them: two groups of half the players each, and the first player has a seat."""
    battles = [(new_id(), new_id(), new_id()) for _ in range(BATTLES)]
    groups = [(battle[1 + at % 2], player.player_id) for battle in battles for at, player in enumerate(players)]
    write_rows(database, "battles", [(*battle, "pending") for battle in battles])
    write_rows(database, "group_members", groups)
    initiators = [(battle[0], players[0].player_id, "attacker") for battle in battles]
    write_rows(database, "battle_members", initiators, ("battle_id", "player_id", "side"))
    return [battle[0] for battle in battles]


async def _join_battles(url: str, battles: Sequence[str], members: Sequence[Account]) -> Values:
    """Raises Refused, Unreachable."""
    with unwrapped():
        async with HttpPool([url], CALLERS, HTTP_DEADLINE_MS) as http:
            warm_up, *measured = battles
            await _join_all(http, warm_up, members)
            began_at, took_ms = time.perf_counter(), array("d")
            for battle_id in measured:
                took_ms += await _join_all(http, battle_id, members)
            seconds = time.perf_counter() - began_at
    in_order = array("d", sorted(took_ms))
    return {
        "joins_per_s": len(took_ms) / seconds,
        "p50_ms": quantile(in_order, 0.5),
        "p99_ms": quantile(in_order, 0.99),
    }


async def _join_all(http: HttpPool, battle_id: str, members: Sequence[Account]) -> "array[float]":
    """How long each has taken, in ms."""
    took_ms = array("d")

    async def join(member: Account) -> None:
        began_at = time.perf_counter()
        await http.request("POST", f"/battles/{battle_id}/join", None, token=member.token, key=new_id())
        took_ms.append((time.perf_counter() - began_at) * 1_000)

    await by_workers(join, members, CALLERS)
    return took_ms


JOINS: Final = Scenario(
    name="joins",
    title="`POST /battles/{id}/join`",
    work=(
        "500 members join a battle through 16 callers over kept-alive connections; three battles, after one to warm up."
    ),
    sides=_sides,
    columns=(
        Column("joins/s", "joins_per_s", spread=True),
        Column("p50 ms", "p50_ms", 1),
        Column("p99 ms", "p99_ms", 1),
    ),
    figures=(Figure("joins/s beside the original design's way", ratio("joins_per_s", OURS, PER_STEP), least=5),),
)
