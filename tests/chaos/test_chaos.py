"""The short form of `make chaos`: real nodes, real servers, real faults; and the proof that nothing came of them."""

import json
import os
from pathlib import Path

from loadtest.chaos.__main__ import main
from loadtest.chaos.plan import SHORT
from tests.node.processes import descendants

ACCEPTED_WITHIN_S = 15.0


def left_behind() -> list[str]:
    """Command lines of the run's processes: each has its package or its folder in it."""
    commands = [Path(f"/proc/{pid}/cmdline") for pid in descendants(os.getpid())]
    return [text for text in (each.read_text() for each in commands if each.exists()) if "chaos" in text]


def test_no_fault_loses_doubles_or_reorders_anything_and_every_battle_goes_on(tmp_path: Path) -> None:
    result = tmp_path / "chaos.json"
    code = main(["--short", "--json", str(result), "--logs", str(tmp_path)])
    found = json.loads(result.read_text())
    assert found["faults"] == {}
    assert sorted(trial["fault"] for trial in found["trials"]) == sorted(SHORT)
    for trial in found["trials"]:
        assert trial["missing"] == "", trial
        assert max(trial["accepted_s"], default=0) < ACCEPTED_WITHIN_S, trial
    assert max(trial["battles"] for trial in found["trials"]) > 0
    assert found["commands"] > 0
    assert code == 0
    assert left_behind() == []
