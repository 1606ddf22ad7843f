"""gameserver up [--nodes N] [--rules FILE] [--reload]"""

import argparse

from gameserver import up
from gameserver.config import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    return up.run(settings, options.rules, count=options.nodes, reload=options.reload)
