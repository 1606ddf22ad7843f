"""gameserver node [--rules FILE]"""

import argparse

from gameserver import main
from gameserver.config import Settings
from gameserver.errors import StartError


def run(settings: Settings, options: argparse.Namespace) -> int:
    for name, url in (("DATABASE_URL", settings.postgres.url), ("REDIS_URL", settings.redis.url)):
        if not url:
            raise StartError(f"{name} is not set; set it, or use `gameserver up`, which brings its own servers")
    main.run(settings, options.rules)
    return 0
