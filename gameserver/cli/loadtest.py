"""gameserver loadtest: simulated players. The load test is a package of its own, beside the server."""

import argparse
import importlib

from gameserver.config import Settings


def run(_settings: Settings, options: argparse.Namespace) -> int:
    code: int = importlib.import_module("loadtest.__main__").main(options.rest)
    return code
