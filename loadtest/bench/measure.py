"""One run of the load generator against one server, and what is wrong with it."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from gameserver.errors import StartError
from loadtest.bench.loads import DELIVERY, Load

DRAIN_S: Final = 5.0
SLACK_S: Final = 120.0
LOOPBACK: Final = "127.0.0.1"

Values = Mapping[str, float]
"""What a run measured, by name. Rates are per second; CPU is in µs, of the server's own processes unless it says
`postgres` or `valkey`."""


@frozen
class Watched:
    """The processes whose CPU time is measured: each of the server's own, and those that it uses."""

    servers: Sequence[int]
    postgres: int | None = None
    valkey: int | None = None

    @property
    def option(self) -> str:
        """As wsload takes it; PostgreSQL has children."""
        besides = [f"{self.postgres}+"] if self.postgres else []
        return ",".join([*map(str, self.servers), *besides, *([str(self.valkey)] if self.valkey else [])])

    def cpu_us(self, report: Mapping[str, Any]) -> tuple[float, float, float]:
        """Of the server, of PostgreSQL and of Valkey."""
        if "processes" not in report:  # there is only one
            return report["server_cpu_s"] * 1e6, 0.0, 0.0
        spent = [process["cpu_s"] * 1e6 for process in report["processes"]]
        own = len(self.servers)
        after = own + 1 if self.postgres else own
        return sum(spent[:own]), sum(spent[own:after]), sum(spent[after:])


def run_wsload(program: Path, load: Load, watched: Watched, options: Sequence[str], port: int) -> dict[str, Any]:
    """The generator's report. Raises StartError if any reply is missing or a connection was lost."""
    report = read_wsload(program, load, watched, options, port)
    require_valid(report)
    return report


def read_wsload(program: Path, load: Load, watched: Watched, options: Sequence[str], port: int) -> dict[str, Any]:
    """The report of a run that may have gone wrong, and what the generator `said` about it. Raises StartError."""
    command = [str(program), *load.options(), "--drain", str(DRAIN_S), "--count", DELIVERY]
    command += ["--pid", watched.option] if watched.servers else []
    finished = subprocess.run(
        [*command, *options, LOOPBACK, str(port)],
        capture_output=True,
        text=True,
        check=False,
        timeout=load.warmup_s + load.seconds + SLACK_S,
    )
    if finished.returncode != 0:
        raise StartError(f"wsload failed: {finished.stderr.strip() or finished.stdout.strip()}")
    return {**json.loads(finished.stdout), "said": finished.stderr.strip()}


def require_valid(report: Mapping[str, Any]) -> None:
    wrong = {name: report[name] for name in ("errors", "closed", "unanswered", "not_sent") if report[name]}
    if wrong or report["connected"] != report["conns"]:
        first, _, _ = report["said"].partition("\n")
        raise StartError(f"{wrong}, {report['connected']} of {report['conns']} connected. {first}")


def values_of(report: Mapping[str, Any], watched: Watched) -> dict[str, float]:
    """Of a run in which commands were sent."""
    deliveries = max(1.0, report["deliveries_per_s"] * report["seconds"])
    commands = max(1.0, report["replies_per_s"] * report["seconds"])
    server, postgres, valkey = watched.cpu_us(report)
    return {
        "commands_per_s": report["replies_per_s"],
        "deliveries_per_s": report["deliveries_per_s"],
        "p50_ms": report["latency_ms"]["p50"],
        "p99_ms": report["latency_ms"]["p99"],
        "us_per_delivery": server / deliveries,
        "postgres_us_per_delivery": postgres / deliveries,
        "us_per_command": server / commands,
        "postgres_us_per_command": postgres / commands,
        "valkey_us_per_command": valkey / commands,
        "bytes_per_delivery": report["mb_in_per_s"] * report["seconds"] * 1e6 / deliveries,
        "generator_cores": report["client_cores"],
    }
