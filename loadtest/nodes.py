"""Where the nodes of the running game are: named on the command line, and told by an admin API if one may be asked.

Whoever has neither learns of WebSocket URLs from the battles themselves (see scenario.py).
"""

from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import frozen

from gameserver.client.errors import Unreachable
from gameserver.client.http import HttpClient
from gameserver.config import Settings
from gameserver.errors import Refused, StartError

DEFAULT_URL: Final = "http://127.0.0.1:8000"
HOW_TO_START: Final = "start one with `make run` (or `gameserver up`), or name another with --url"


@frozen
class Addresses:
    """The HTTP URLs to call and the WebSocket URLs to connect to; of the latter there may be more."""

    http: Sequence[str]
    websocket: Sequence[str]


@frozen
class Admin:
    """An admin API, and whether it was asked for: then it has to answer."""

    url: str
    token: str
    required: bool


def admin_of(settings: Settings, given: str | None, urls: Sequence[str]) -> Admin | None:
    """The one that was named; or this machine's, if no game was named. None: there is none that may be asked."""
    if given is None and urls:
        return None
    token = settings.admin.token or _kept_token(settings)
    if given is not None and not token:
        raise StartError(f"to ask {given} takes its token: set GAMESERVER_ADMIN_TOKEN")
    url = given or f"http://{settings.admin.host}:{settings.admin.port}"
    return Admin(url, token, required=given is not None) if token else None


def _kept_token(settings: Settings) -> str:
    """The one that a node in development has made; '' if there is none, or none for our eyes."""
    try:
        return (settings.node.data_dir / "admin_token").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


async def find_nodes(urls: Sequence[str], admin: Admin | None) -> Addresses:
    """Raises StartError unless a game answers at every HTTP URL."""
    http = [url.rstrip("/") for url in urls if not _is_websocket(url)]
    websocket = [url for url in urls if _is_websocket(url)]
    if admin is not None:
        nodes = await _read_nodes(admin)
        http = http or [node["http_url"] for node in nodes if node["http_url"]]
        websocket += [node["websocket_url"] for node in nodes if node["websocket_url"]]
    http = list(dict.fromkeys(http or [DEFAULT_URL]))
    for url in http:
        await _require_game(url)
    return Addresses(http, list(dict.fromkeys(websocket)))


async def _read_nodes(admin: Admin) -> list[dict[str, Any]]:
    try:
        async with HttpClient(admin.url) as http:
            nodes: list[dict[str, Any]] = (await http.get("/admin/nodes", token=admin.token))["nodes"]
    except (Refused, Unreachable) as error:
        if admin.required:
            raise StartError(f"the admin API at {admin.url} does not tell its nodes: {error}") from error
        return []
    return [node for node in nodes if node["status"] != "dead"]


async def _require_game(url: str) -> None:
    try:
        with trio.fail_after(10):
            async with HttpClient(url) as http:
                await http.get("/readyz")
    except (Unreachable, trio.TooSlowError) as error:
        raise StartError(f"no game is running at {url}; {HOW_TO_START}") from error
    except Refused as error:
        raise StartError(f"the game at {url} is not ready: {error.message}") from error


def _is_websocket(url: str) -> bool:
    return url.startswith(("ws:", "wss:"))
