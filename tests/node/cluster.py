"""Several nodes over one database and one Redis, and their players."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

from attrs import evolve

from gameserver.config import Settings
from tests.node.modes import TIRELESS
from tests.node.running import NodeThread
from tests.node.world import Duel, World, eventually, world_of

ALL_ROLES = ("http", "websocket", "actors")


def settings_of_nodes(settings: Settings, roles: Sequence[tuple[str, ...]]) -> list[Settings]:
    """Settings for a node of each of these roles; everything but the name is shared, the keys on disk, too."""
    return [
        evolve(settings, node=evolve(settings.node, name=f"node-{number}", roles=each))
        for number, each in enumerate(roles)
    ]


@contextmanager
def nodes_of(settings: Settings, *roles: tuple[str, ...]) -> Iterator[list[NodeThread]]:
    """Running nodes that know each other; two with all roles, if nothing else is said."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(NodeThread(each, [TIRELESS]))
            for each in settings_of_nodes(settings, roles or (ALL_ROLES, ALL_ROLES))
        ]
        yield nodes


@asynccontextmanager
async def worlds_of(nodes: Sequence[NodeThread]) -> AsyncIterator[list[World]]:
    """The world as it looks from each node, once all of them see each other."""
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(world_of(node)) for node in nodes]
        for world in worlds:
            await eventually(lambda world=world: sees(world, len(nodes)), f"all {len(nodes)} nodes are seen")
        yield worlds


async def sees(world: World, number: int) -> bool:
    """Whether this node sees so many nodes alive, with their addresses."""
    nodes = (await world.ordered("/admin/nodes", "GET"))["nodes"]
    return len([each for each in nodes if each["status"] == "alive" and each["admin_url"]]) == number


async def owner_of(world: World, actor_id: str) -> str | None:
    found = await world.rows("SELECT owner FROM actors WHERE id = $1", actor_id)
    return found[0]["owner"]


async def duels_on(worlds: Sequence[World], each: int = 1) -> dict[str, Duel]:
    """A running battle on each of the nodes, by the name of its owner."""
    names = {f"node-{number}" for number in range(len(worlds))}
    duels: dict[str, Duel] = {}
    while duels.keys() != names:
        duel = await worlds[0].duel(mode="tireless", each=each)
        duels.setdefault(await owner_of(worlds[0], duel.battle_id) or "", duel)
    return duels
