"""The load generator reaches several servers at once, and gets every frame of the loop that does nothing but send."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from loadtest.bench.bench import Bench
from loadtest.bench.loads import PORTS, Load, Seat, write_paths
from loadtest.bench.send_limit import send_limit
from loadtest.bench.tools import build_sendlimit, build_wsload
from tests.node.cluster import worlds_of
from tests.node.running import NodeThread

DEADLINE_S = 30


@pytest.fixture(scope="module")
def wsload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("wsload.c, the load generator of `make bench`, needs cc, gcc or clang; the game does not")
    return build_wsload(tmp_path_factory.mktemp("wsload"))


async def test_each_connection_goes_to_the_port_of_its_line(nodes: list[NodeThread], wsload: Path, tmp_path) -> None:
    paths = tmp_path / "paths.tsv"
    async with worlds_of(nodes) as worlds:
        tokens = [(await worlds[0].person()).token for _ in range(3)]
        ports = [worlds[0].websocket_port, worlds[1].websocket_port, worlds[1].websocket_port]
        write_paths(paths, [(Seat(token, "", 0), port) for token, port in zip(tokens, ports, strict=True)])
        greeted = ["--setup-mark", '"event":"hello"']
        command = [wsload, "--paths", paths, *PORTS, *greeted, "--warmup", "0", "--seconds", "0.1", "127.0.0.1", "1"]
        done = await trio.to_thread.run_sync(
            lambda: subprocess.run(command, capture_output=True, check=True, timeout=DEADLINE_S)
        )
        totals = [(await world.stats())["websocket"]["connections_total"] for world in worlds]
    assert json.loads(done.stdout)["connected"] == 3
    assert totals == [1, 2]


def test_a_line_without_a_port_is_an_error(wsload: Path, tmp_path: Path) -> None:
    paths = tmp_path / "paths.tsv"
    paths.write_text("/ws\tx\ty\n")
    failed = subprocess.run(
        [wsload, "--paths", paths, *PORTS, "127.0.0.1", "1"], check=False, capture_output=True, timeout=DEADLINE_S
    )
    assert (failed.returncode, failed.stderr) == (1, b"wsload: connection 0 has no port\n")


def test_every_frame_of_the_limit_comes(wsload: Path, tmp_path: Path) -> None:
    bench = Bench(wsload, build_sendlimit(tmp_path), [], "", 0, "", 0, tmp_path, edge="", signing_key="")
    values = send_limit(bench, Load(connections=10, warmup_s=0, seconds=1), frame_bytes=200)
    assert values["frame_bytes"] == 200
    assert values["sends_per_s"] > 100
    assert values["us_per_send"] > 0
