"""A node that the kernel kills the moment that a group's intention of a battle is durable: nothing follows from it."""

import os
import signal

from gameserver import main
from gameserver.config import load_settings
from gameserver.persistence.postgres_journal import PostgresJournal

append = PostgresJournal.append


async def append_and_die(journal, entries):
    landed = await append(journal, entries)
    if any(b"group:battle-intended" in entry.row.public for entry in entries):
        os.kill(os.getpid(), signal.SIGKILL)
    return landed


if __name__ == "__main__":
    PostgresJournal.append = append_and_die
    main.run(load_settings(os.environ), None)
