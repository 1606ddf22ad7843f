"""The load test finds the nodes of a game, and spreads its calls over them."""

from pathlib import Path

import pytest
from attrs import evolve

from gameserver.client.errors import Unreachable
from gameserver.config import Settings
from gameserver.errors import StartError
from loadtest.http_pool import HttpPool
from loadtest.meter import Meter
from loadtest.nodes import DEFAULT_URL, Addresses, Admin, admin_of, find_nodes
from loadtest.population import Population
from tests.node.cluster import worlds_of
from tests.node.running import NodeThread

NOWHERE = "http://127.0.0.1:1"


def addresses(nodes: list[NodeThread]) -> Addresses:
    return Addresses(
        [f"http://127.0.0.1:{each.node.http_port}" for each in nodes],
        [f"ws://127.0.0.1:{each.node.websocket_port}" for each in nodes],
    )


def admin(running: NodeThread, **changed: object) -> Admin:
    url = f"http://127.0.0.1:{running.node.admin_port}"
    return evolve(Admin(url, running.settings.admin.token, required=True), **changed)


async def test_the_admin_api_of_one_node_tells_of_all(nodes: list[NodeThread]) -> None:
    async with worlds_of(nodes):
        assert await find_nodes([], admin(nodes[1])) == addresses(nodes)


async def test_http_urls_that_were_named_are_the_only_ones_to_be_called(nodes: list[NodeThread]) -> None:
    async with worlds_of(nodes):
        named = addresses(nodes[1:]).http
        assert await find_nodes(named, admin(nodes[0])) == Addresses(named, addresses(nodes).websocket)


async def test_without_an_admin_api_there_is_what_was_named(nodes: list[NodeThread]) -> None:
    named = addresses(nodes)
    assert await find_nodes([*named.http, *named.websocket, *named.http], None) == named
    assert await find_nodes([f"{named.http[0]}/"], None) == Addresses(named.http[:1], [])


async def test_no_answer_is_an_error_only_where_one_was_asked_for(nodes: list[NodeThread]) -> None:
    named = addresses(nodes).http
    for changed in ({"url": NOWHERE}, {"token": "not the operator's"}):
        assert await find_nodes(named, admin(nodes[0], required=False, **changed)) == Addresses(named, [])
        with pytest.raises(StartError, match="does not tell its nodes"):
            await find_nodes(named, admin(nodes[0], **changed))


async def test_each_named_url_has_to_be_a_game(nodes: list[NodeThread]) -> None:
    with pytest.raises(StartError, match=f"no game is running at {NOWHERE}"):
        await find_nodes([*addresses(nodes).http, NOWHERE], None)


async def test_calls_go_to_one_node_after_the_other(nodes: list[NodeThread]) -> None:
    async with HttpPool([*addresses(nodes).http, NOWHERE], connections=3, deadline_ms=5_000) as pool:
        for _ in range(2):
            for _ in nodes:
                assert await pool.request("GET", "/readyz", None, token=None, key="") == {"ready": True, "reasons": []}
            with pytest.raises(Unreachable):
                await pool.request("GET", "/readyz", None, token=None, key="")


async def test_what_one_node_does_not_answer_the_next_one_does(nodes: list[NodeThread]) -> None:
    async with HttpPool([NOWHERE, *addresses(nodes).http], connections=3, deadline_ms=5_000) as pool:
        population = Population(pool, Meter())
        crews = await population.make(1, 5, 0, workers=1)
        assert [len(crew.accounts) for crew in crews] == [5]


def test_the_admin_api_of_this_machine_is_asked_only_if_no_game_was_named(tmp_path: Path) -> None:
    settings = in_folder(tmp_path)
    assert admin_of(settings, None, []) is None
    (tmp_path / "admin_token").write_text("made by the node\n")
    assert admin_of(settings, None, []) == Admin("http://127.0.0.1:8200", "made by the node", required=False)
    assert admin_of(settings, None, [DEFAULT_URL]) is None
    assert admin_of(settings, NOWHERE, [DEFAULT_URL]) == Admin(NOWHERE, "made by the node", required=True)


def test_an_admin_api_that_was_named_needs_its_token(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="GAMESERVER_ADMIN_TOKEN"):
        admin_of(in_folder(tmp_path), NOWHERE, [])


def in_folder(folder: Path) -> Settings:
    plain = Settings()
    return evolve(plain, node=evolve(plain.node, data_dir=folder))
