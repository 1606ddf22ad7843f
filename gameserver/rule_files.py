"""Where rules come from: `gameserver.rules` entry points of installed packages, and one file named by `--rules`."""

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Final

from gameserver.errors import ConfigError
from gameserver.game.rules import Rules

ENTRY_POINT_GROUP: Final = "gameserver.rules"


def load_rules(path: Path | None) -> list[Rules]:
    """All rules there are. A file may hold several, each in a variable of its own. Raises ConfigError."""
    rules = [_checked(point.load(), f"entry point {point.name}") for point in entry_points(group=ENTRY_POINT_GROUP)]
    if path is not None:
        rules += _from_file(path)
    return rules


def _from_file(path: Path) -> list[Rules]:
    module = _execute(path)
    found = list({id(rules): rules for rules in _rules_in(module)}.values())  # one may go under two names
    if not found:
        raise ConfigError(f"{path} defines no rules; expected a variable like `rules = Rules(mode=..., ...)`")
    return found


def _rules_in(module: ModuleType) -> Iterator[Rules]:
    return (value for name, value in vars(module).items() if isinstance(value, Rules) and not name.startswith("_"))


def _execute(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path} is no file; expected a Python file with rules")
    name = f"gameserver_rules_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _checked(value: object, source: str) -> Rules:
    if not isinstance(value, Rules):
        raise ConfigError(f"{source} is no Rules object but {type(value).__name__}")
    return value
