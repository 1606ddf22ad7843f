"""Several nodes over one database and one Redis, and their players."""

import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from itertools import pairwise
from typing import Any, Self

import trio
from attrs import evolve

from gameserver.cluster.placement import place
from gameserver.codec import encode
from gameserver.config import Settings
from gameserver.errors import CODES
from gameserver.game.rules import Rules
from tests.node.fighters import Fighter, until_fought
from tests.node.modes import BRIEF, TIRELESS
from tests.node.running import NodeThread
from tests.node.world import Duel, Witness, World, eventually, world_of

ALL_ROLES = ("http", "websocket", "actors")
FREE = {"creation_interval_ms": 0, "attack_cooldown_ms": 0, "joins_per_period": 1_000, "minimum_duration_ms": 0}
UNHURRIED = {"messages_per_second": 0}
STEADY = {"beat_interval_ms": 100, "node_ttl_ms": 1_500}
"""Beats that a busy machine does not miss, so that no node counts as suspected, and nothing moves for it."""
DUELS_LIMIT = 60
SHORT_LEASES = {"lease_ms": 1_500, "lease_renew_ms": 200}


# -- nodes ------------------------------------------------------------------------------------------------------------


def settings_of_nodes(settings: Settings, roles: Sequence[tuple[str, ...]]) -> list[Settings]:
    """Settings for a node of each of these roles; everything but the name is shared, the keys on disk, too."""
    return [named(settings, number, each) for number, each in enumerate(roles)]


def named(settings: Settings, number: int, roles: tuple[str, ...] = ALL_ROLES) -> Settings:
    return evolve(settings, node=evolve(settings.node, name=f"node-{number}", roles=roles))


def as_process(settings: Settings, number: int) -> Settings:
    """Like `named`, but with a folder of its own, since processes log there; so the key is not on disk."""
    folder = settings.node.data_dir / f"node-{number}"
    folder.mkdir(exist_ok=True)
    one = named(settings, number)
    return evolve(one, node=evolve(one.node, data_dir=folder), auth=evolve(one.auth, signing_key="a key " * 8))


@contextmanager
def nodes_of(settings: Settings, *roles: tuple[str, ...]) -> Iterator[list[NodeThread]]:
    """Running nodes that know each other; two with all roles, if nothing else is said."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(running(each)) for each in settings_of_nodes(settings, roles or (ALL_ROLES, ALL_ROLES))
        ]
        yield nodes


def running(settings: Settings, rules: Sequence[Rules] = (TIRELESS, BRIEF)) -> NodeThread:
    return NodeThread(settings, rules)


async def stopped(stack: ExitStack) -> None:
    """Closes it beside the loop, so that clients of the test go on meanwhile."""
    await trio.to_thread.run_sync(stack.close)


async def started(stack: ExitStack, settings: Settings) -> NodeThread:
    """A node that starts beside the loop."""
    node = running(settings)
    await trio.to_thread.run_sync(stack.enter_context, node)
    return node


@asynccontextmanager
async def worlds_of(nodes: Sequence[NodeThread]) -> AsyncIterator[list[World]]:
    """The world as it looks from each node, once all of them see each other."""
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(world_of(node)) for node in nodes]
        for world in worlds:
            await eventually(lambda world=world: sees(world, len(nodes)), f"all {len(nodes)} nodes are seen")
        yield worlds


# -- what a node sees -------------------------------------------------------------------------------------------------


async def seen_by(world: World) -> dict[str, dict[str, Any]]:
    """What it says of each node, by name."""
    return {each["name"]: each for each in (await world.ordered("/admin/nodes", "GET"))["nodes"]}


async def sees(world: World, number: int) -> bool:
    """Whether this node sees so many nodes alive, with their addresses."""
    nodes = (await seen_by(world)).values()
    return len([each for each in nodes if each["status"] == "alive" and each["admin_url"]]) == number


async def until_status(world: World, name: str, *wanted: str) -> dict[str, Any]:
    """What it says of the node, once that has one of these states; "gone" if it is not listed."""

    async def found() -> dict[str, Any] | None:
        each = (await seen_by(world)).get(name, {"status": "gone"})
        return each if each["status"] in wanted else None

    node: dict[str, Any] = await eventually(found, f"{name} is {wanted}")
    return node


async def has_bus(world: World, wanted: bool = True) -> bool:
    return (await world.stats())["cluster"]["bus_available"] is wanted


# -- who owns what ----------------------------------------------------------------------------------------------------


async def owner_of(world: World, actor_id: str) -> str | None:
    return (await ownership(world, actor_id))[0]


async def ownership(world: World, actor_id: str) -> tuple[str | None, int]:
    """Owner and epoch."""
    (found,) = await world.rows("SELECT owner, epoch FROM actors WHERE id = $1", actor_id)
    return found["owner"], found["epoch"]


async def all_ownerships(world: World) -> dict[str, tuple[str | None, int]]:
    found = await world.rows("SELECT id::text, owner, epoch FROM actors")
    return {row["id"]: (row["owner"], row["epoch"]) for row in found}


async def duels_at_home(worlds: Sequence[World], each: int = 1) -> list[Duel]:
    """A running battle on each of the nodes, where placement wants it, so that nothing moves it."""
    return [await duel_placed(worlds[0], f"node-{number}", len(worlds), each) for number in range(len(worlds))]


async def duels_on(worlds: Sequence[World], each: int = 1) -> dict[str, Duel]:
    """A running battle on each of the nodes, by the name of its owner."""
    return {f"node-{number}": await duel_of(worlds, f"node-{number}", each=each) for number in range(len(worlds))}


async def duel_of(worlds: Sequence[World], owner: str, mode: str = "tireless", each: int = 1) -> Duel:
    """A running battle that this node owns."""
    for _ in range(DUELS_LIMIT):
        duel = await worlds[0].duel(mode=mode, each=each)
        if await owner_of(worlds[0], duel.battle_id) == owner:
            return duel
    raise AssertionError(f"{owner} owned none of {DUELS_LIMIT} battles")


async def duel_placed(world: World, on: str, number: int = 2, each: int = 1) -> Duel:
    """A running battle that belongs on this node once there are so many, wherever it is now."""
    for _ in range(DUELS_LIMIT):
        duel = await world.duel(mode="tireless", each=each)
        if place(duel.battle_id, [f"node-{each}" for each in range(number)]) == on:
            return duel
    raise AssertionError(f"none of {DUELS_LIMIT} battles belongs on {on}")


# -- streams ----------------------------------------------------------------------------------------------------------


async def lines_of(world: World, battle_id: str) -> list[bytes]:
    """The public events of the battle, as the journal holds them."""
    found = await world.rows("SELECT public FROM journal WHERE actor_id = $1 ORDER BY seq", battle_id)
    return [line for row in found for line in row["public"].split(b"\n")]


async def check_streams(world: World, battle_id: str, witnesses: Sequence[Witness], since: int = 1) -> None:
    """Each has seen the journal's very lines from the event `since` on, without gap or double, to the last one."""
    last = 0
    for witness in witnesses:
        last = len(await lines_of(world, battle_id))
        await witness.until_seq(battle_id, last)
    journal = (await lines_of(world, battle_id))[since - 1 : last]
    for number, witness in enumerate(witnesses):
        seen = [encode(event) for event in witness.battle(battle_id) if event["seq"] <= last]
        assert seen == journal, f"witness {number} saw {witness.seqs(battle_id)}, expected {since} to {last}"


@asynccontextmanager
async def fighting(worlds: Sequence[World], duel: Duel, more: int = 3) -> AsyncIterator[list[Fighter]]:
    """Everybody of the duel attacks, in turn from these nodes, for as long as the block takes; and once it is done,
    until each has had `more` answers."""
    people = [person for both in zip(duel.attackers, duel.defenders, strict=True) for person in both]
    fighters = [Fighter(person, duel.battle_id) for person in people]
    async with trio.open_nursery() as nursery:
        for number, fighter in enumerate(fighters):
            nursery.start_soon(fighter.fight, worlds[number % len(worlds)])
        await until_fought(fighters, more)
        yield fighters
        await until_fought([fighter for fighter in fighters if not fighter.resting], more)
        for fighter in fighters:
            fighter.resting = True


class Roaming:
    """A world for fighters, who connect to another one of these nodes each time."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = list(worlds)
        self._turns = itertools.count()

    def connected(self, *args: Any, **how: Any) -> Any:
        return self.worlds[next(self._turns) % len(self.worlds)].connected(*args, **how)


def check_only_retryable(fighters: Sequence[Fighter], *, also: Collection[str] = ()) -> None:
    refusals = {code for fighter in fighters for code in fighter.refusals}
    final = {code for code in refusals if code not in CODES or not CODES[code].retryable}
    assert final <= set(also), final


class Ownerships:
    """Who owned these actors one after the other, as (owner, epoch), while `noted`."""

    def __init__(self, world: World, actor_ids: Sequence[str]) -> None:
        self._world, self._actor_ids = world, list(actor_ids)
        self.of: dict[str, list[tuple[str | None, int]]] = {actor_id: [] for actor_id in actor_ids}
        self._counts: dict[str, list[int]] = defaultdict(list)

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[Self]:
        await self._note()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_noting)
            yield self
            nursery.cancel_scope.cancel()
        await self._note()

    async def _keep_noting(self) -> None:
        while True:
            await self._note()
            await trio.sleep(0.02)

    async def _note(self) -> None:
        query = "SELECT id::text, owner, epoch FROM actors WHERE id = ANY($1::uuid[])"
        found = await self._world.rows(query, self._actor_ids)
        for owner, count in Counter(row["owner"] for row in found).items():
            if count not in self._counts[owner]:
                self._counts[owner].append(count)
        for row in found:
            noted = self.of[row["id"]]
            if not noted or noted[-1] != (row["owner"], row["epoch"]):
                noted.append((row["owner"], row["epoch"]))

    def owners(self, actor_id: str) -> list[str]:
        """Those who have activated it, one after the other."""
        by_epoch = {epoch: owner for owner, epoch in self.of[actor_id] if owner is not None}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def check_moves(self, actor_id: str, most: int) -> None:
        """It has moved so often at most, and each time the epoch has risen by exactly one."""
        epochs = [epoch for _, epoch in self.of[actor_id]]
        owners = self.owners(actor_id)
        assert epochs[-1] - epochs[0] == len(owners) - 1, f"{actor_id}: {self.of[actor_id]}"
        assert len(owners) - 1 <= most, f"{actor_id}: {self.of[actor_id]}"
        assert all(before != after for before, after in pairwise(owners)), f"{actor_id}: {self.of[actor_id]}"

    def counts_of(self, owner: str) -> list[int]:
        """How many actors the node had, each time that somebody looked and it was another number."""
        return self._counts[owner]
