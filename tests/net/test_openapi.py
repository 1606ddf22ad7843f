"""The OpenAPI document tells of every route, and of nothing else."""

import json
import re
from collections.abc import Iterator
from typing import Any

from gameserver.net.http.public import ROUTES
from tests.net.http_world import app


async def document() -> dict[str, Any]:
    response = await app().test_client().get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = await response.get_json()
    return found


def references(item: Any) -> Iterator[str]:
    if isinstance(item, dict):
        if "$ref" in item:
            yield item["$ref"]
        for value in item.values():
            yield from references(value)
    elif isinstance(item, list):
        for value in item:
            yield from references(value)


async def test_what_is_served_is_described_and_the_other_way_round() -> None:
    served = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, item in (await document())["paths"].items() for method in item}
    assert described == served
    assert len(described) == len(ROUTES)


async def test_the_calls_of_the_game_are_there() -> None:
    paths = (await document())["paths"]
    expected = """
        /players /players/me /players/me/battles /sessions /groups /groups/{group_id} /groups/{group_id}/join
        /groups/{group_id}/leave /groups/{group_id}/members /battles /battles/{battle_id} /battles/{battle_id}/join
        /battles/{battle_id}/begin /battles/{battle_id}/finish /battles/{battle_id}/members /leaderboards /livez /readyz
    """
    assert paths.keys() >= set(expected.split())


async def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    found = await document()
    targets = set(references(found))
    for target in targets:
        item = found
        for part in target.removeprefix("#/").split("/"):
            item = item[part]
    schemas = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert schemas <= targets


async def test_bodies_queries_and_answers_are_described_as_they_are() -> None:
    found = await document()
    battle = found["components"]["schemas"]["NewBattle"]
    assert battle["required"] == ["group_attacker", "group_defender"]
    assert battle["properties"]["group_attacker"] == {"type": "string", "format": "uuid"}
    listing = found["paths"]["/battles"]["get"]
    assert {each["name"] for each in listing["parameters"]} == {"cursor", "limit", "state", "group"}
    assert listing["security"] == [{"token": []}]
    joining = found["paths"]["/battles/{battle_id}/join"]["post"]
    assert [each["name"] for each in joining["parameters"]] == ["battle_id", "Idempotency-Key"]
    assert "requestBody" not in joining
    assert found["paths"]["/players"]["post"]["security"] == []
    assert "Method generated" not in json.dumps(found)
