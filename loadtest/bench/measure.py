"""One run of the load generator against one server, and what is wrong with it."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from gameserver.errors import StartError

DELIVERY: Final = '"event":"battle:attack"'
SLACK_S: Final = 60.0

OURS: Final = (
    "--setup",
    '{"id":1,"event":"battle:watch","payload":{"battleId":"{line3}"}}',
    "--setup-mark",
    '"event":"reply","id":1,',
    "--message",
    '{"id":1{n:8},"event":"battle:attack","payload":{"battleId":"{line3}"}}',
    "--mark",
    '"event":"reply","id":1{n:8}',
)
PEERS: Final = ("--message", '{"event":"battle:attack","id":"{id}","payload":{}}', "--mark", '"id":"{id}"')


@frozen
class Load:
    """How many connections send how long; each has one command in flight."""

    connections: int
    warmup_s: float
    seconds: float


@frozen
class Measured:
    """Rates are per second; CPU is that of the server's own process and of PostgreSQL, in µs per delivery."""

    side: str
    commands_per_s: float
    deliveries_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    postgres_cpu_us: float
    client_cores: float
    replies_total: int
    commands_per_commit: float | None = None


def run_wsload(
    program: Path, side: str, load: Load, pids: Sequence[str], options: Sequence[str], port: int
) -> Measured:
    """`pids`: the server's, and PostgreSQL's. Raises StartError if any reply is missing or a connection was lost."""
    command = [str(program), "--label", side, "--conns", str(load.connections), "--pid", ",".join(pids)]
    command += ["--warmup", str(load.warmup_s), "--seconds", str(load.seconds), "--drain", "5", "--count", DELIVERY]
    finished = subprocess.run(
        [*command, *options, "127.0.0.1", str(port)],
        capture_output=True,
        text=True,
        check=False,
        timeout=load.warmup_s + load.seconds + SLACK_S,
    )
    if finished.returncode != 0:
        raise StartError(f"wsload failed against {side}: {finished.stderr.strip() or finished.stdout.strip()}")
    return measured_from(side, json.loads(finished.stdout), finished.stderr)


def measured_from(side: str, report: dict[str, Any], said: str) -> Measured:
    wrong = {name: report[name] for name in ("errors", "closed", "unanswered", "not_sent") if report[name]}
    if wrong or report["connected"] != report["conns"]:
        raise StartError(
            f"the run against {side} is not valid: {wrong}, {report['connected']} connected. {said.strip()}"
        )
    deliveries = max(1.0, report["deliveries_per_s"] * report["seconds"])
    server, postgres = (process["cpu_s"] * 1e6 / deliveries for process in report["processes"])
    latency = report["latency_ms"]
    return Measured(
        side=side,
        commands_per_s=report["replies_per_s"],
        deliveries_per_s=report["deliveries_per_s"],
        p50_ms=latency["p50"],
        p99_ms=latency["p99"],
        server_cpu_us=server,
        postgres_cpu_us=postgres,
        client_cores=report["client_cores"],
        replies_total=report["replies_total"],
    )
