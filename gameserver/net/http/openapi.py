"""The OpenAPI 3.1 document, made from the table of routes: whatever is served is in it, as it is served."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import fields, resolve_types

from gameserver.net.http.route import Nothing, Route
from gameserver.net.http.schemas import Schemas

TITLE: Final = "gameserver"
VERSION: Final = "1"
PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; what programs go by."},
        "retryable": {"type": "boolean", "description": "Whether the same request may be sent again."},
        "retry_after_ms": {"type": "integer"},
        "websocket_url": {"type": "string"},
    },
}
IDEMPOTENCY_KEY: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request takes effect once, and gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": {**schemas.found, "Problem": PROBLEM},
            "responses": {
                "Problem": _content("Refused: see `code`", {"$ref": "#/components/schemas/Problem"}, problem=True)
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    answer = {"description": "Done"} if route.answer is None else _content("Done", schemas.of(route.answer))
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route, schemas), *_header_parameters(route)],
        "responses": {str(route.status): answer, "default": {"$ref": "#/components/responses/Problem"}},
        "security": [{"token": []}] if route.access == "token" else [],
    }
    if route.body is not Nothing:
        operation["requestBody"] = {"required": True, **_media("application/json", schemas.of(route.body))}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "format": "uuid"}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    resolve_types(route.query)
    return [{"name": f.name, "in": "query", "schema": schemas.of(f.type)} for f in fields(route.query)]


def _header_parameters(route: Route) -> list[Mapping[str, Any]]:
    return [IDEMPOTENCY_KEY] if route.unsafe else []


def _content(description: str, schema: Mapping[str, Any], *, problem: bool = False) -> dict[str, Any]:
    media_type = "application/problem+json" if problem else "application/json"
    return {"description": description, **_media(media_type, schema)}


def _media(media_type: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {media_type: {"schema": schema}}}
