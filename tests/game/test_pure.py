"""The game is pure: no I/O, no clock, no randomness but its dice, no task of any kind."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "gameserver" / "game").glob("*.py"))
ALLOWED = {"attrs", "collections", "functools", "hashlib", "typing"}
OURS = {"gameserver.errors", "gameserver.ids", "gameserver.setting"}

LOAD_ALL = """
import importlib, pkgutil, sys
import gameserver.game
for module in pkgutil.iter_modules(gameserver.game.__path__, "gameserver.game."):
    importlib.import_module(module.name)
print(*sys.modules, sep="\\n")
"""


def test_the_game_loads_neither_an_event_loop_nor_a_driver_nor_another_layer() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL], capture_output=True, check=True, cwd=ROOT, env=environment, text=True
    )
    loaded = set(done.stdout.split())
    assert "gameserver.game.skirmish" in loaded
    assert not loaded & {
        "trio",
        "asyncio",
        "uvloop",
        "asyncpg",
        "psycopg",
        "redis",
        "quart",
        "hypercorn",
        "socket",
        "structlog",
    }
    ours = {name for name in loaded if name.startswith("gameserver.") and not name.startswith("gameserver.game")}
    assert ours <= OURS


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_file_of_the_game_imports_only_what_cannot_do_anything(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in ALLOWED or name in OURS or name.startswith("gameserver.game.")
