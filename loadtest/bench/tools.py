"""What the benchmark needs besides Python, made in a folder that git ignores."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from gameserver.errors import StartError

HERE: Final = Path(__file__).parent
PEER: Final = HERE / "peer"
BUILD_DEADLINE_S: Final = 120.0
NODE_LEAST: Final = 18


def build_wsload(folder: Path) -> Path:
    """The load generator. Raises StartError."""
    return _build("wsload", folder)


def build_sendlimit(folder: Path) -> Path:
    """The loop that does nothing but send. Raises StartError."""
    return _build("sendlimit", folder)


def _build(name: str, folder: Path) -> Path:
    """Built unless it is there and newer than its source."""
    source, program = HERE / f"{name}.c", folder / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise StartError(f"{source.name} needs a C compiler and none is there; install one (Debian: gcc, libc6-dev)")
    _run([compiler, "-O2", "-o", str(program), str(source)], folder, f"building {name}")
    return program


def build_peer(folder: Path) -> list[str]:
    """The command that starts the peer, installed as its lock file says. Raises StartError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise StartError(f"the peer needs Node.js {NODE_LEAST} or later, with npm; install them (Debian: nodejs, npm)")
    version = node_version()
    if int(version.partition("v")[2].partition(".")[0]) < NODE_LEAST:
        raise StartError(f"the peer needs Node.js {NODE_LEAST} or later; this is {version}")
    peer = folder / "peer"
    installed = peer / "node_modules" / ".package-lock.json"
    lock = PEER / "package-lock.json"
    peer.mkdir(exist_ok=True)
    shutil.copy(PEER / "server.mjs", peer)
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        shutil.copy(PEER / "package.json", peer)
        shutil.copy(lock, peer)
        _run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], peer, "installing the peer (npm ci)")
    return [node, str(peer / "server.mjs")]


def node_version() -> str:
    """As in "Node.js v20.20.2"; "" if there is none."""
    node = shutil.which("node")
    if node is None:
        return ""
    return f"Node.js {subprocess.run([node, '--version'], capture_output=True, text=True, check=True).stdout.strip()}"


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=BUILD_DEADLINE_S, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise StartError(f"{what} failed:\n{error.stderr or error.stdout}") from error
    except subprocess.TimeoutExpired as error:
        raise StartError(f"{what} took longer than {BUILD_DEADLINE_S:g} s") from error
