"""`python -m loadtest.chaos.server_child FOLDER`: runs PostgreSQL and Valkey; a line of input names one to start again.

Starting a server blocks, and belongs on a main thread: that of the chaos run has players to serve. This process, and
with it the servers, ends with its input: so nothing is left behind, however its parent ends.
"""

import sys
from pathlib import Path

from attrs import frozen

from gameserver.codec import encode, unstructure
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey
from gameserver.persistence.migrations import migrate


@frozen
class Running:
    """What is said once both run, and again after each restart: a line of JSON."""

    postgres_url: str
    redis_url: str
    postgres_pid: int
    valkey_pid: int


def main(folder: Path) -> None:
    """Raises StartError."""
    postgres, valkey = EmbeddedPostgres(folder), EmbeddedValkey(folder)
    servers: dict[str, EmbeddedPostgres | EmbeddedValkey] = {"postgres": postgres, "valkey": valkey}
    with postgres as postgres_url, valkey as redis_url:
        migrate(postgres_url)
        _say(Running(postgres_url, redis_url, postgres.pid, valkey.pid))
        for line in sys.stdin:
            servers[line.strip()].restart()
            _say(Running(postgres_url, redis_url, postgres.pid, valkey.pid))


def _say(running: Running) -> None:
    sys.stdout.write(encode(unstructure(running)).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
