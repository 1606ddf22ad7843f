"""The servers that are compared, each a child process: fresh for every run, stopped before the next one starts."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from gameserver.codec import decode
from gameserver.errors import StartError
from gameserver.node_process import is_ready
from loadtest.node_environment import LOOPBACK, free_ports, node_environment

START_DEADLINE_S: Final = 30.0
STOP_DEADLINE_S: Final = 20.0
POLL_S: Final = 0.05
READ_TIMEOUT_S: Final = 5.0
RULES: Final = Path(__file__).with_name("rules.py")


@frozen
class OurNode:
    pid: int
    http_url: str
    admin_url: str
    admin_token: str
    websocket_port: int


@frozen
class Peer:
    pid: int
    port: int


@contextlib.contextmanager
def our_nodes(
    count: int, database_url: str, redis_url: str, folder: Path, settings: Mapping[str, str]
) -> Iterator[list[OurNode]]:
    """So many nodes, ready and in sight of each other. Raises StartError; their logs are folder/node-0.log, …"""
    token = secrets.token_urlsafe(32)
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(_our_node(number, database_url, redis_url, folder, token, settings))
            for number in range(count)
        ]
        _wait_until_met(nodes, folder)
        yield nodes


@contextlib.contextmanager
def _our_node(
    number: int, database_url: str, redis_url: str, folder: Path, token: str, settings: Mapping[str, str]
) -> Iterator[OurNode]:
    ports = free_ports(3)
    http, websocket, admin = ports
    log = folder / f"node-{number}.log"
    environment = {
        **node_environment(f"bench-{number}", ports, database_url, redis_url, folder, token),
        **settings,
        "GAMESERVER_NODE_LOG_LEVEL": "warning",
        # The CPU time of PostgreSQL is that of its processes in the end: none of them may end before.
        "GAMESERVER_POSTGRES_IDLE_LIMIT_MS": "600000",
    }
    command = [sys.executable, "-m", "gameserver", "node", "--rules", str(RULES)]
    with child(command, environment, log) as process:
        wait(process, lambda: is_ready(LOOPBACK, http), log)
        yield OurNode(process.pid, f"http://{LOOPBACK}:{http}", f"http://{LOOPBACK}:{admin}", token, websocket)


def _wait_until_met(nodes: Sequence[OurNode], folder: Path) -> None:
    """Until each of them gives actors a place on all of them."""
    give_up_at = time.monotonic() + START_DEADLINE_S
    while any(_in_sight(node) != len(nodes) for node in nodes):
        if time.monotonic() > give_up_at:
            raise StartError(f"the nodes did not find each other; their logs are in {folder}")
        time.sleep(POLL_S)


def _in_sight(node: OurNode) -> int:
    """How many nodes it knows that own actors, and have a WebSocket edge."""
    request = urllib.request.Request(  # noqa: S310 - an HTTP URL of ours
        f"{node.admin_url}/admin/nodes", headers={"Authorization": f"Bearer {node.admin_token}"}
    )
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=READ_TIMEOUT_S) as answer:  # noqa: S310
        nodes = decode(answer.read())["nodes"]
        return sum(each["status"] == "alive" and each["owning"] and bool(each["websocket_url"]) for each in nodes)
    return 0


@contextlib.contextmanager
def peer(command: Sequence[str], database_url: str | None, folder: Path) -> Iterator[Peer]:
    """In memory, or with a commit per command if there is a database. Raises StartError."""
    (port,) = free_ports(1)
    durable = ["--durable", "--postgres", database_url] if database_url else []
    whole = [*command, "--port", str(port), *durable]
    with child(whole, dict(os.environ), folder / "peer.log") as process:
        wait(process, lambda: answers(port), folder / "peer.log")
        yield Peer(process.pid, port)


@contextlib.contextmanager
def child(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path) -> None:
    give_up_at = time.monotonic() + START_DEADLINE_S
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise StartError(f"a server did not start; its log:\n{log.read_text(errors='replace')[-2_000:]}")
        time.sleep(POLL_S)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
