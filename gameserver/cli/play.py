"""gameserver play: the terminal client; its own options are its own business."""

import argparse

from gameserver.client import play
from gameserver.config import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    return play.run(settings, options.rest)
