"""What was measured, and where and when, in a file for each scenario: docs/benchmarks.md is written from them."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from gameserver.codec import decode, encode, structure, unstructure
from loadtest.bench.rounds import Run
from loadtest.bench.tools import node_version


@frozen
class Kept:
    """All runs of one scenario in one sitting."""

    conditions: str
    runs: list[Run]


def conditions_now(rounds: int, seconds: float) -> str:
    versions = ", ".join(filter(None, (f"Python {platform.python_version()}", node_version())))
    return f"{rounds} alternating rounds of {seconds:g} s. {_machine()}, {versions}, {datetime.now(UTC):%Y-%m-%d}."


def keep(folder: Path, name: str, kept: Kept) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(encode(unstructure(kept)))


def read_kept(folder: Path, names: Sequence[str]) -> dict[str, Kept]:
    """Of those that were ever measured."""
    files = {name: folder / f"{name}.json" for name in names}
    return {name: structure(decode(file.read_bytes()), Kept) for name, file in files.items() if file.exists()}


def _machine() -> str:
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{len(os.sched_getaffinity(0))} cores of {model}, Linux {platform.release().partition('-')[0]}"
