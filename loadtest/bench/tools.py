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
    """The load generator, built unless it is there and newer than its source. Raises StartError."""
    source, program = HERE / "wsload.c", folder / "wsload"
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise StartError(
            "the load generator needs a C compiler and none is there; install one (Debian: gcc, libc6-dev)"
        )
    _run([compiler, "-O2", "-o", str(program), str(source)], folder, "building the load generator")
    return program


def build_peer(folder: Path) -> list[str]:
    """The command that starts the peer, installed as its lock file says. Raises StartError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise StartError(f"the peer needs Node.js {NODE_LEAST} or later, with npm; install them (Debian: nodejs, npm)")
    if int(node_version().lstrip("v").partition(".")[0]) < NODE_LEAST:
        raise StartError(f"the peer needs Node.js {NODE_LEAST} or later; this is {node_version()}")
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
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=BUILD_DEADLINE_S, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise StartError(f"{what} failed:\n{error.stderr or error.stdout}") from error
    except subprocess.TimeoutExpired as error:
        raise StartError(f"{what} took longer than {BUILD_DEADLINE_S:g} s") from error
