"""The machine's own limit: a loop in C that sends a frame to each client in turn (sendlimit.c)."""

import json
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from gameserver.errors import StartError
from loadtest.bench.bench import Bench
from loadtest.bench.loads import Load
from loadtest.bench.measure import Values, Watched, read_wsload
from loadtest.bench.servers import STOP_DEADLINE_S, child, wait
from loadtest.node_environment import free_ports

HEAD_BYTES: Final = 4
"""Of a frame with more than 125 bytes."""
ROUNDS: Final = 10**9
READING_LONGER_S: Final = 2.0
"""The clients read to the end: the limit waits for 0.3 s before and after it sends, and then closes all connections."""


def send_limit(bench: Bench, load: Load, frame_bytes: int) -> Values:
    """With frames of so many bytes, heads included. Raises StartError if any of them was lost."""
    (port,) = free_ports(1)
    output = bench.folder / "sendlimit.json"
    payload = str(frame_bytes - HEAD_BYTES)
    command = [str(bench.sendlimit), str(port), str(load.connections), str(ROUNDS), payload, str(load.seconds)]
    with child(command, {}, output) as process:
        wait(process, lambda: _listens(port), output)
        reading = evolve(load, senders=0, warmup_s=0.0, seconds=load.seconds + READING_LONGER_S)
        report = read_wsload(bench.wsload, reading, Watched([]), ["--path", "/"], port)
        process.wait(STOP_DEADLINE_S)
    return _values(json.loads(output.read_text()), report)


def _values(limit: dict[str, Any], report: dict[str, Any]) -> Values:
    if limit["failed"] or report["errors"] or report["frames"] != limit["sends"]:
        raise StartError(f"{limit['sends']} sends, {limit['failed']} of them failed, {report['frames']} frames came")
    return {
        "sends_per_s": limit["sends_per_s"],
        "us_per_send": limit["cpu_us_per_send"],
        "frame_bytes": limit["frame_bytes"] + HEAD_BYTES,
    }


def _listens(port: int) -> bool:
    """Whether anybody does; to connect would be to come as one of its clients."""
    return any(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    )
