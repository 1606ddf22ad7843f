"""The environment of a node that a tool starts by itself: the tool's settings, and none of the caller's."""

import contextlib
import os
import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"

LOOSE: Final = {
    "GAMESERVER_WEBSOCKET_MESSAGES_PER_SECOND": "0",
    "GAMESERVER_GUARDS_CREATION_INTERVAL_MS": "0",
    "GAMESERVER_GUARDS_ATTACK_COOLDOWN_MS": "0",
    "GAMESERVER_GUARDS_JOINS_PER_PERIOD": "1000",
}
"""A closed loop is a flood, and a thousand players set up in seconds are no usual ones. All else is as by default."""

PORTS: Final = range(20_000, 32_000)
INHERITED: Final = ("DATABASE_URL", "REDIS_URL", "PORT")


def node_environment(
    name: str, ports: Sequence[int], database_url: str, redis_url: str, folder: Path, admin_token: str
) -> dict[str, str]:
    """`ports` are those for HTTP, WebSocket and admin."""
    http, websocket, admin = ports
    return {
        **plain_environment(),
        **LOOSE,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "GAMESERVER_NODE_NAME": name,
        "GAMESERVER_NODE_DATA_DIR": str(folder),
        "GAMESERVER_HTTP_PORT": str(http),
        "GAMESERVER_WEBSOCKET_PORT": str(websocket),
        "GAMESERVER_ADMIN_PORT": str(admin),
        "GAMESERVER_ADMIN_TOKEN": admin_token,
    }


def plain_environment() -> dict[str, str]:
    """Ours, without any setting: they are to be the same on every machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GAMESERVER_") and name not in INHERITED
    }


def free_ports(count: int, neighbours: int = 0) -> list[int]:
    """Each with so many free ones behind it. Not of those that the kernel gives to outgoing connections: these would be
    in the way of a node that starts again, and who asks whether it is back could end up connected to itself."""
    with contextlib.ExitStack() as stack:
        free: list[int] = []
        for port in random.sample(PORTS, len(PORTS)):
            with contextlib.suppress(OSError):
                for each in range(port, port + neighbours + 1):
                    stack.enter_context(socket.socket()).bind((LOOPBACK, each))
                free.append(port)
            if len(free) == count:
                break
        return free
