"""gameserver replay BATTLE"""

import argparse

from gameserver import replay
from gameserver.config import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    return replay.run(settings, options.battle)
