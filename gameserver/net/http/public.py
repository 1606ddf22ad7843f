"""The public API: all its routes, and the app that serves them."""

from typing import Any, Final

from attrs import frozen
from quart_trio import QuartTrio

from gameserver.net.http import battles, groups, health, leaderboards, players, sessions
from gameserver.net.http.app import Gate, create_app
from gameserver.net.http.context import HttpContext
from gameserver.net.http.openapi import document
from gameserver.net.http.route import Call, Route


@frozen
class Welcome:
    openapi: str
    start: str


async def read_welcome(context: HttpContext, call: Call) -> Welcome:  # noqa: ARG001
    return Welcome(openapi="/openapi.json", start="POST /players")


async def read_openapi(context: HttpContext, call: Call) -> dict[str, Any]:  # noqa: ARG001
    return document(ROUTES)


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/", read_welcome, "Where to go", Welcome, access="anyone"),
    Route("GET", "/openapi.json", read_openapi, "This document", dict[str, Any], access="anyone"),
    *health.ROUTES,
    *players.ROUTES,
    *sessions.ROUTES,
    *groups.ROUTES,
    *battles.ROUTES,
    *leaderboards.ROUTES,
)


def public_app(context: HttpContext, gate: Gate | None = None) -> QuartTrio:
    settings = context.settings.http
    return create_app(ROUTES, context, context.tokens.verify, settings, gate or Gate(settings.requests_limit))
