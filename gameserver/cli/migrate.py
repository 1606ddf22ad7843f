"""gameserver migrate: brings the database up to this version. Safe to repeat, and on several machines at once."""

import argparse

from gameserver.config import Settings
from gameserver.errors import StartError
from gameserver.persistence.migrations import migrate


def run(settings: Settings, _options: argparse.Namespace) -> int:
    if not settings.postgres.url:
        raise StartError("DATABASE_URL is not set; `gameserver up` migrates the embedded database by itself")
    applied = migrate(settings.postgres.url)
    print("\n".join(f"applied {name}" for name in applied) or "nothing to do")
    return 0
