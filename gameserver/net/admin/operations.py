"""What an operator can see and do: JSON as the parts of the node give it, in their words."""

from typing import Any, Final

import trio
from attrs import frozen
from quart_trio import QuartTrio

from gameserver.actors.messages import Inspect, Message
from gameserver.actors.ports import Accepted, Reply, Shown
from gameserver.cluster.ask import ask
from gameserver.errors import Refused
from gameserver.game.commands import Finish
from gameserver.net.admin.context import AdminContext
from gameserver.net.http import health
from gameserver.net.http.app import Gate, create_app
from gameserver.net.http.paging import Page, PageQuery, Paging
from gameserver.net.http.route import Call, Route

ACTORS: Final[Paging[dict[str, Any], dict[str, Any]]] = Paging("actors", lambda row: (row["id"],), lambda row: row)


@frozen
class Inspected:
    """An actor as it is in memory, once what it shows is durable."""

    seq: int
    actor: dict[str, Any]


@frozen
class Ordered:
    """The order was carried out, as the event `seq` of the battle."""

    battle_id: str
    seq: int


@frozen
class LetBack:
    """`let_back` is False if the actor was not set aside. Either way it runs now, as `actor` shows."""

    let_back: bool
    actor: dict[str, Any]


@frozen
class Disconnected:
    """The connections that this node had; the other nodes close theirs."""

    connections: int


@frozen
class Drained:
    """The node that has been asked to leave."""

    node: str


async def read_stats(context: AdminContext, call: Call) -> dict[str, Any]:  # noqa: ARG001
    return dict(context.stats())


async def read_nodes(context: AdminContext, call: Call) -> dict[str, Any]:  # noqa: ARG001
    return dict(context.nodes())


async def drain_node(context: AdminContext, call: Call) -> Drained:
    """Answered at once; `GET /admin/nodes` shows when the node is gone."""
    if not context.drain(call.ids["name"]):
        raise Refused("node_not_found")
    return Drained(call.ids["name"])


async def list_actors(context: AdminContext, call: Call) -> Page[dict[str, Any]]:
    return await ACTORS.page(call.query, context.settings.http.page_limit, context.lists.actors)


async def inspect_battle(context: AdminContext, call: Call) -> Inspected:
    if await context.lists.battle(call.ids["battle_id"]) is None:
        raise Refused("battle_not_found")
    shown = await _inspect(context, call.ids["battle_id"])
    return Inspected(shown.seq, shown.view)


async def order_finish(context: AdminContext, call: Call) -> Ordered:
    """Bound by neither role nor minimum duration; a pending battle expires. Once finished: battle_finished."""
    accepted = await _ask(context, call.ids["battle_id"], Finish(player_id=None, operator=True))
    assert isinstance(accepted, Accepted)
    return Ordered(call.ids["battle_id"], accepted.seq)


async def retry_actor(context: AdminContext, call: Call) -> LetBack:
    """Lets an actor back that was set aside, and wakes it: if it fails again, the operator gets to see how."""
    actor_id = call.ids["actor_id"]
    let_back = await context.let_back(actor_id)
    shown = await _inspect(context, actor_id)
    return LetBack(let_back, shown.view)


async def disconnect_player(context: AdminContext, call: Call) -> Disconnected:
    return Disconnected(context.sessions.disconnect(call.ids["player_id"]))


async def _inspect(context: AdminContext, actor_id: str) -> Shown:
    shown = await _ask(context, actor_id, Inspect())
    assert isinstance(shown, Shown)
    return shown


async def _ask(context: AdminContext, actor_id: str, command: Any) -> Accepted | Shown:
    deadline_ms = context.settings.actors.command_deadline_ms

    def send(reply: Reply) -> None:
        context.router.send(Message(actor_id, command, reply, trio.current_time() + deadline_ms / 1_000))

    return await ask(send, deadline_ms)


ROUTES: Final = (
    *health.ROUTES,
    Route("GET", "/admin/stats", read_stats, "Every queue, limit and counter", dict[str, Any]),
    Route("GET", "/admin/nodes", read_nodes, "All nodes, as this one sees them", dict[str, Any]),
    Route("POST", "/admin/nodes/{name}/drain", drain_node, "Have a node leave in good order", Drained, status=202),
    Route("GET", "/admin/actors", list_actors, "All actors", Page[dict[str, Any]], query=PageQuery),
    Route("GET", "/admin/battles/{battle_id}", inspect_battle, "A battle, as in memory", Inspected),
    Route("POST", "/admin/battles/{battle_id}/finish", order_finish, "Finish a battle", Ordered),
    Route("POST", "/admin/actors/{actor_id}/retry", retry_actor, "Let back an actor that was set aside", LetBack),
    Route("POST", "/admin/players/{player_id}/disconnect", disconnect_player, "Close a player's sockets", Disconnected),
)


def admin_app(context: AdminContext, gate: Gate | None = None) -> QuartTrio:
    settings = context.settings.http
    return create_app(ROUTES, context, context.authenticate, settings, gate or Gate(settings.requests_limit))
