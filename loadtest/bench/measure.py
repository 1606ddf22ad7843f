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
PORTS: Final = ("--port-column", "4")
"""Each connection goes to the port that stands in its line of the paths file."""

PEERS: Final = ("--message", '{"event":"battle:attack","id":"{id}","payload":{}}', "--mark", '"id":"{id}"')


@frozen
class Load:
    """How many connections send how long: each has one command in flight; or, with a `rate`, all together send so many
    commands per second."""

    connections: int
    warmup_s: float
    seconds: float
    rate: float = 0.0


@frozen
class Watched:
    """The processes whose CPU time is measured: each of the server's own, and those that it uses."""

    servers: Sequence[int]
    postgres: int
    valkey: int | None = None

    @property
    def option(self) -> str:
        """As wsload takes it; PostgreSQL has children."""
        return ",".join([*map(str, self.servers), f"{self.postgres}+", *([str(self.valkey)] if self.valkey else [])])

    def cpu_us(self, report: dict[str, Any]) -> tuple[float, float, float]:
        """Of the server, of PostgreSQL and of Valkey."""
        spent = [process["cpu_s"] * 1e6 for process in report["processes"]]
        own = len(self.servers)
        return sum(spent[:own]), spent[own], sum(spent[own + 1 :])


@frozen
class Measured:
    """Rates are per second; CPU is that of the server's own processes and of PostgreSQL, in µs per delivery, and of the
    two and Valkey, in µs per command."""

    side: str
    servers: int
    connections: int
    commands_per_s: float
    deliveries_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    postgres_cpu_us: float
    command_cpu_us: tuple[float, float, float]
    client_cores: float
    replies_total: int
    commands_per_commit: float | None = None


def run_wsload(program: Path, side: str, load: Load, watched: Watched, options: Sequence[str], port: int) -> Measured:
    """Raises StartError if any reply is missing or a connection was lost."""
    command = [str(program), "--label", side, "--conns", str(load.connections), "--pid", watched.option]
    command += ["--rate", str(load.rate)] if load.rate else []
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
    return measured_from(side, json.loads(finished.stdout), finished.stderr, watched)


def measured_from(side: str, report: dict[str, Any], said: str, watched: Watched) -> Measured:
    wrong = {name: report[name] for name in ("errors", "closed", "unanswered", "not_sent") if report[name]}
    if wrong or report["connected"] != report["conns"]:
        raise StartError(
            f"the run against {side} is not valid: {wrong}, {report['connected']} connected. {said.strip()}"
        )
    deliveries = max(1.0, report["deliveries_per_s"] * report["seconds"])
    commands = max(1.0, report["replies_per_s"] * report["seconds"])
    cpu_us = watched.cpu_us(report)
    latency = report["latency_ms"]
    return Measured(
        side=side,
        servers=len(watched.servers),
        connections=report["conns"],
        commands_per_s=report["replies_per_s"],
        deliveries_per_s=report["deliveries_per_s"],
        p50_ms=latency["p50"],
        p99_ms=latency["p99"],
        server_cpu_us=cpu_us[0] / deliveries,
        postgres_cpu_us=cpu_us[1] / deliveries,
        command_cpu_us=(cpu_us[0] / commands, cpu_us[1] / commands, cpu_us[2] / commands),
        client_cores=report["client_cores"],
        replies_total=report["replies_total"],
    )
