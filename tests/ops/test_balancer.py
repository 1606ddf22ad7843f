"""ops/nginx.conf, run for real before two stand-ins for nodes: what concerns one battle lands on one node."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import frozen
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.ids import new_id
from gameserver.net.handshake import Opening, admit
from gameserver.net.http import problems
from gameserver.net.tokens import Claims
from tests.node.world import request
from tests.ops.backend import LOOPBACK, Backend, backends
from tests.ops.balancer import CONFIGURATION, Balancer, balancer

BATTLES = [new_id() for _ in range(60)]


@frozen
class Scene:
    edge: Balancer
    nodes: tuple[Backend, Backend]

    async def asked(self, path: str, method: str = "GET") -> Any:
        """The name of the node that answered, or the code if none did."""
        body = b"{}" if method == "POST" else b""
        status, _, answer = await request(self.edge.http_port, method, path, body)
        return answer["name"] if status == 200 else answer["code"]

    @asynccontextmanager
    async def connected(self, query: str, **headers: str) -> AsyncIterator[tuple[WebSocketConnection, Any]]:
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        stream = await trio.open_tcp_stream(LOOPBACK, self.edge.websocket_port)
        async with stream, trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(nursery, stream, LOOPBACK, f"/?{query}", extra_headers=extra)
            async with websocket:
                yield websocket, json.loads(await websocket.get_message())

    async def reached(self, battle: str) -> str:
        async with self.connected(f"battle={battle}") as (_, hello):
            return hello["name"]

    def other(self, name: str) -> Backend:
        return next(each for each in self.nodes if each.name != name)

    def named(self, name: str) -> Backend:
        return next(each for each in self.nodes if each.name == name)


@pytest.fixture
async def scene(tmp_path) -> AsyncIterator[Scene]:
    async with backends() as nodes, balancer(nodes, tmp_path) as edge:
        yield Scene(edge, nodes)


# -- where things land --------------------------------------------------------------------------------------------


async def test_connections_of_one_battle_always_reach_the_same_node_and_battles_are_spread(scene):
    places = {battle: await scene.reached(battle) for battle in BATTLES}
    assert {battle: await scene.reached(battle) for battle in BATTLES} == places
    assert min(Counter(places.values())[each.name] for each in scene.nodes) >= len(BATTLES) // 10


async def test_requests_about_one_battle_always_reach_the_same_node_and_battles_are_spread(scene):
    places = {battle: await scene.asked(f"/battles/{battle}") for battle in BATTLES}
    assert {battle: await scene.asked(f"/battles/{battle}/join?x=1", "POST") for battle in BATTLES} == places
    assert min(Counter(places.values())[each.name] for each in scene.nodes) >= len(BATTLES) // 10


async def test_what_concerns_no_battle_is_spread(scene):
    by_request = Counter([await scene.asked("/battles?limit=5") for _ in BATTLES])
    by_connection = Counter([await scene.reached("") for _ in BATTLES])
    for each in scene.nodes:
        assert min(by_request[each.name], by_connection[each.name]) >= len(BATTLES) // 10


async def test_a_websocket_is_passed_on_as_it_came(scene):
    async with scene.connected("battle=b1&instance=7", Authorization="Bearer token") as (websocket, hello):
        assert (hello["path"], hello["token"]) == ("/?battle=b1&instance=7", "Bearer token")
        await websocket.send_message("still there?")
        assert await websocket.get_message() == "still there?"


def test_a_node_admits_a_connection_that_names_its_battle() -> None:
    opening = Opening("/?battle=b1&instance=7", [])
    assert admit(opening, [], lambda _: Claims("ada", "session", 0)).instance == 7


# -- nodes that die -----------------------------------------------------------------------------------------------


async def test_the_connections_of_a_dead_node_come_back_to_the_other_one(scene):
    async with scene.connected("battle=b1") as (websocket, hello):
        await scene.named(hello["name"]).die()
        with pytest.raises(ConnectionClosed):
            await websocket.get_message()
    assert await scene.reached("b1") == scene.other(hello["name"]).name
    assert {await scene.reached(battle) for battle in BATTLES} == {scene.other(hello["name"]).name}


async def test_the_requests_of_a_dead_node_go_to_the_other_one_whatever_their_method(scene):
    name = await scene.asked("/battles/b1")
    await scene.named(name).die()
    assert await scene.asked("/battles/b1/join", "POST") == scene.other(name).name
    assert {await scene.asked(f"/battles/{battle}") for battle in BATTLES} == {scene.other(name).name}


async def test_the_battles_of_the_node_that_lives_stay_where_they_are(scene):
    places = {battle: await scene.reached(battle) for battle in BATTLES}
    dead, alive = scene.nodes
    await dead.die()
    theirs = [battle for battle, name in places.items() if name == alive.name]
    assert {await scene.reached(battle) for battle in theirs} == {alive.name}


async def test_a_post_that_may_have_run_is_not_sent_again(scene):
    name = await scene.asked("/battles/b1")
    scene.named(name).mute = True
    assert await scene.asked("/battles/b1/join", "POST") == "outcome_unknown"
    assert scene.named(name).seen[-1] == ("POST", "/battles/b1/join")
    assert scene.other(name).seen == []


async def test_a_get_that_a_dying_node_left_unanswered_is_sent_to_the_other_one(scene):
    name = await scene.asked("/battles/b1")
    scene.named(name).mute = True
    assert await scene.asked("/battles/b1/events") == scene.other(name).name
    assert scene.named(name).seen[-1] == scene.other(name).seen[-1] == ("GET", "/battles/b1/events")


async def test_an_answer_that_the_balancer_has_to_give_itself_is_a_problem_as_a_node_words_it(scene):
    for each in scene.nodes:
        await each.die()
    status, headers, answer = await request(scene.edge.http_port, "GET", "/battles/b1")
    assert (status, headers["content-type"]) == (503, problems.CONTENT_TYPE)
    assert answer == problems.details(Refused("outcome_unknown"))


# -- what must fit the node's own settings ------------------------------------------------------------------------


def test_the_balancer_is_more_patient_than_the_node() -> None:
    request_s, connection_s = map(int, re.findall(r"proxy_read_timeout (\d+)s", CONFIGURATION.read_text()))
    settings = Settings()
    assert request_s * 1_000 > settings.http.request_deadline_ms
    assert connection_s * 1_000 > settings.websocket.idle_deadline_ms > settings.websocket.ping_interval_ms
