"""gameserver drain NODE: through the admin API of any node, and until it is done."""

import argparse
from contextlib import suppress
from typing import Any, Final

import trio

from gameserver.client.errors import Unreachable
from gameserver.client.http import HttpClient
from gameserver.client.limits import HttpLimits
from gameserver.config import Settings
from gameserver.net.secrets import admin_token

LOOK_INTERVAL_S: Final = 0.2
EXIT_NOT_DONE: Final = 1


def run(settings: Settings, options: argparse.Namespace) -> int:
    url = options.admin_url or f"http://{settings.admin.host}:{settings.admin.port}"
    return trio.run(_drain, options.node, url, admin_token(settings), settings.node.stop_deadline_ms / 1_000)


async def _drain(node: str, url: str, token: str, deadline_s: float) -> int:
    async with HttpClient(url, HttpLimits()) as admin:
        before = _incarnation(node, await admin.request("GET", "/admin/nodes", token=token))
        await admin.request("POST", f"/admin/nodes/{node}/drain", token=token)
        print(f"{node} hands its battles over …", flush=True)
        with trio.move_on_after(deadline_s):
            await _until_gone(admin, token, node, before)
            print(f"{node} is gone.")
            return 0
    print(f"{node} is still there after {deadline_s:g} s; see its log")
    return EXIT_NOT_DONE


async def _until_gone(admin: HttpClient, token: str, node: str, incarnation: str | None) -> None:
    """Or came back as another incarnation. If it is the one that we ask, its silence says it."""
    with suppress(Unreachable):
        while True:
            if _incarnation(node, await admin.request("GET", "/admin/nodes", token=token)) != incarnation:
                return
            await trio.sleep(LOOK_INTERVAL_S)


def _incarnation(node: str, seen: Any) -> str | None:
    """None if it is dead, or was never there."""
    alive = {each["name"]: each["incarnation"] for each in seen["nodes"] if each["status"] != "dead"}
    return alive.get(node)
