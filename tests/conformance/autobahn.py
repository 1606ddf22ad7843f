"""Autobahn's fuzzing client: installed under Python 2.7, the only one that it knows, and run against a side."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gameserver.errors import StartError

HERE: Final = Path(__file__).parent
INSTALL_DEADLINE_S: Final = 300
RUN_DEADLINE_S: Final = 300
PROBE_DEADLINE_S: Final = 10
NOT_RUN: Final = ("12.*", "13.*")
"""Compression, which no transport offers: permessage-deflate is off by decision."""

CASES_LINE: Final = "Ok, will run "
CASE_LINE: Final = "Running test case ID "
NO_PYTHON: Final = (
    "Autobahn's testsuite runs under Python 2.7 only, and none is there: not in $PYTHON27, not on PATH, not among "
    "pyenv's versions. Install one (pyenv install 2.7.18, or Debian 11's package python2.7), or name it: "
    "make conformance PYTHON27=/path/to/python2.7"
)


def find_python27() -> Path:
    """Raises StartError, which says what to do."""
    for path in _candidates():
        if _is_python27(path):
            return path
    raise StartError(NO_PYTHON)


def _candidates() -> Iterator[Path]:
    named = os.environ.get("PYTHON27")
    if named:
        yield Path(named)
    on_path = shutil.which("python2.7")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/2.7*/bin/python2.7"))


def _is_python27(path: Path) -> bool:
    """A shim of pyenv is there under that name even if no such version is switched on."""
    try:
        probe = subprocess.run(
            [path, "-c", "import sys; print(sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=PROBE_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.stdout.strip() == "(2, 7)"


def install(folder: Path) -> Path:
    """The testsuite's own Python in `folder`, made there unless it is what our requirements say. Raises StartError."""
    python, stamp = folder / "py27" / "bin" / "python", folder / "py27" / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    python27 = find_python27()
    print(f"Installing Autobahn's testsuite for {python27} into {folder} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    tools = folder / "virtualenv"
    pip = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([sys.executable, "-m", *pip, "--target", tools, "-r", HERE / "requirements-virtualenv.txt"])
    _run([sys.executable, "-m", "virtualenv", "--quiet", "-p", python27, folder / "py27"], PYTHONPATH=str(tools))
    _run([python, "-W", "ignore", "-m", *pip, "-r", HERE / "requirements.txt"])
    stamp.write_text(wanted)
    return python


def _run(command: list[str | Path], **environment: str) -> None:
    try:
        subprocess.run(
            command,
            env={**os.environ, **environment},
            check=True,
            timeout=INSTALL_DEADLINE_S,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip()
        raise StartError(f"installing Autobahn's testsuite failed (its parts in C need a compiler):\n{said}") from error
    except subprocess.TimeoutExpired as error:
        raise StartError(f"installing Autobahn's testsuite took longer than {INSTALL_DEADLINE_S} s") from error


def fuzz(python: Path, side: str, port: int, cases: list[str], folder: Path) -> dict[str, dict]:
    """Outcome by case, as in the suite's index.json. Raises StartError if the suite did not run them all in time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    specification = folder / "fuzzingclient.json"
    specification.write_text(json.dumps(_specification(side, port, cases, folder / "report")))
    options = "-W ignore -u -m autobahntestsuite.wstest -m fuzzingclient -s"
    command = [python, *options.split(), specification]
    log = folder / "wstest.log"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watchdog = threading.Timer(RUN_DEADLINE_S, process.kill)
        watchdog.start()
        try:
            announced = _follow(process, side, log)
        finally:
            watchdog.cancel()
            process.kill()
    index = folder / "report" / "index.json"
    outcomes = json.loads(index.read_text())[side] if index.exists() else {}
    if not announced or len(outcomes) < announced:
        raise StartError(f"{side}: {len(outcomes)} of {announced} cases ran within {RUN_DEADLINE_S} s; see {log}")
    return outcomes


def _specification(side: str, port: int, cases: list[str], report: Path) -> dict:
    return {
        "outdir": str(report),
        "servers": [{"agent": side, "url": f"ws://127.0.0.1:{port}/ws"}],
        "cases": cases,
        "exclude-cases": list(NOT_RUN),
        "exclude-agent-cases": {},
    }


def _follow(process: subprocess.Popen, side: str, log: Path) -> int:
    """Shows which group of cases is running; returns how many cases there are."""
    announced = begun = 0
    group = ""
    with log.open("w") as kept:
        for line in process.stdout:
            kept.write(line)
            if line.startswith(CASES_LINE):
                announced = int(line.removeprefix(CASES_LINE).split()[0])
            elif line.startswith(CASE_LINE):
                case = line.removeprefix(CASE_LINE).split()[0]
                if case.partition(".")[0] != group:
                    group = case.partition(".")[0]
                    print(f"{side}: cases {group}.*, {begun} of {announced} done", flush=True)
                begun += 1
    return announced
