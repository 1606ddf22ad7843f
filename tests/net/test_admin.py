"""The admin API: nothing without its token, and what operators ask for."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define, field

from gameserver.actors.messages import Inspect, Message
from gameserver.actors.ports import Accepted, Answer, Shown
from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.game.commands import Finish
from gameserver.ids import new_id
from gameserver.net.admin.context import AdminContext
from gameserver.net.admin.operations import ROUTES, admin_app

TOKEN = "the token of operators"
ACTOR = new_id()


@define
class World:
    """One actor that may have been set aside, and the connections of one player."""

    set_aside: bool = False
    asked: list[Any] = field(factory=list)

    def send(self, message: Message) -> None:
        self.asked.append(message.command)
        message.reply(self._answer(message))

    def _answer(self, message: Message) -> Answer:
        if self.set_aside:
            return Refused("actor_set_aside")
        return Shown(7, {"seq": 7}) if isinstance(message.command, Inspect) else Accepted(8)

    async def let_back(self, actor_id: str) -> bool:
        was, self.set_aside = self.set_aside, False
        return was

    async def battle(self, battle_id: str) -> Any:
        return battle_id if battle_id == ACTOR else None

    async def actors(self, after: Any, limit: int) -> Sequence[dict[str, Any]]:
        return [] if after else [{"id": ACTOR, "kind": "battle"}]

    def disconnect(self, player_id: str) -> int:
        return 3


async def call(world: World, method: str, path: str, token: str | None = TOKEN) -> tuple[int, Any]:
    parts: Any = world
    context = AdminContext(
        stats=lambda: {"commits": 1},
        nodes=lambda: {"nodes": []},
        drain=lambda name: name == "node-1",
        readiness=list,
        lists=parts,
        router=parts,
        let_back=world.let_back,
        sessions=parts,
        settings=Settings(),
        token=TOKEN,
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = await admin_app(context).test_client().open(path, method=method, headers=headers)
    return response.status_code, await response.get_json()


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", "ä"])
async def test_nothing_without_the_token(token: str | None) -> None:
    world = World()
    for route in ROUTES:
        if route.access == "probe":
            continue
        path = "/".join(ACTOR if part.startswith("{") else part for part in route.path.split("/"))
        status, problem = await call(world, route.method, path, token)
        assert (status, problem["code"]) == (401, "token_invalid" if token else "token_missing")
    assert world.asked == []


async def test_what_operators_see() -> None:
    world = World()
    assert await call(world, "GET", "/admin/stats") == (200, {"commits": 1})
    assert await call(world, "GET", "/admin/actors") == (
        200,
        {"items": [{"id": ACTOR, "kind": "battle"}], "next_cursor": None},
    )
    assert await call(world, "GET", f"/admin/battles/{ACTOR}") == (200, {"seq": 7, "actor": {"seq": 7}})
    assert (await call(world, "GET", f"/admin/battles/{new_id()}"))[1]["code"] == "battle_not_found"
    assert (await call(world, "GET", "/admin/battles/7"))[1]["code"] == "not_uuid"


async def test_what_operators_do() -> None:
    world = World(set_aside=True)
    assert (await call(world, "GET", f"/admin/battles/{ACTOR}"))[1]["code"] == "actor_set_aside"
    assert await call(world, "POST", f"/admin/actors/{ACTOR}/retry") == (200, {"let_back": True, "actor": {"seq": 7}})
    assert await call(world, "POST", f"/admin/actors/{ACTOR}/retry") == (200, {"let_back": False, "actor": {"seq": 7}})
    assert await call(world, "POST", f"/admin/battles/{ACTOR}/finish") == (200, {"battle_id": ACTOR, "seq": 8})
    assert world.asked[-1] == Finish(player_id=None, operator=True)
    assert await call(world, "POST", f"/admin/players/{ACTOR}/disconnect") == (200, {"connections": 3})
    assert await call(world, "POST", "/admin/nodes/node-1/drain") == (202, {"node": "node-1"})
    status, problem = await call(world, "POST", "/admin/nodes/nobody/drain")
    assert (status, problem["code"]) == (404, "node_not_found")
