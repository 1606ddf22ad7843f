"""gameserver node [--roles ROLES] [--name NAME] [--rules FILE]"""

import argparse
import socket

from attrs import evolve

from gameserver import main
from gameserver.config import Settings
from gameserver.errors import StartError


def run(settings: Settings, options: argparse.Namespace) -> int:
    for name, url in (("DATABASE_URL", settings.postgres.url), ("REDIS_URL", settings.redis.url)):
        if not url:
            raise StartError(f"{name} is not set; set it, or use `gameserver up`, which brings its own servers")
    main.run(named(settings), options.rules)
    return 0


def named(settings: Settings) -> Settings:
    """With the machine's name for a node that was given none: two nodes of one name take each other's lease."""
    if settings.node.name:
        return settings
    return evolve(settings, node=evolve(settings.node, name=socket.gethostname()))
