"""gameserver replay BATTLE [--step] [--rules FILE]"""

import argparse

from gameserver import replay
from gameserver.config import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    return replay.run(settings, options.battle, step=options.step, rules=options.rules)
