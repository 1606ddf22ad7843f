"""The bench: everything that a run needs, whichever side it is."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from gameserver.ids import new_id
from gameserver.net.tokens import Tokens
from gameserver.persistence.migrations import migrate
from loadtest.bench import servers
from loadtest.bench.database import fresh_database
from loadtest.bench.measure import Watched
from loadtest.simulated_player import Account

TOKEN_TTL_S: Final = 3_600


@frozen
class Bench:
    """`edge` is the transport that our nodes are told to use; "": their default."""

    wsload: Path
    sendlimit: Path
    peer: list[str]
    postgres_url: str
    postgres_pid: int
    redis_url: str
    valkey_pid: int
    folder: Path
    edge: str
    signing_key: str = field(repr=False)

    def fresh(self, name: str) -> str:
        """An empty database for our server."""
        database = fresh_database(self.postgres_url, name)
        migrate(database)
        return database

    @contextlib.contextmanager
    def nodes(self, count: int, database: str) -> Iterator[list[servers.OurNode]]:
        """Fresh nodes of ours. Raises StartError."""
        settings: Mapping[str, str] = {
            "GAMESERVER_AUTH_SIGNING_KEY": self.signing_key,
            **({"GAMESERVER_EDGE": self.edge} if self.edge else {}),
        }
        with servers.our_nodes(count, database, self.redis_url, self.folder, settings) as nodes:
            say(f"  processes {', '.join(str(node.pid) for node in nodes)}")
            yield nodes

    @property
    def paths(self) -> Path:
        return self.folder / "paths.tsv"

    def accounts(self, count: int) -> list[Account]:
        """Players with tokens as our nodes give them, signed here instead of in so many calls."""
        tokens = Tokens(self.signing_key, TOKEN_TTL_S)
        players = (new_id() for _ in range(count))
        return [Account(player, tokens.issue(tokens.claims(player, new_id()))) for player in players]

    def watched(self, nodes: list[servers.OurNode]) -> Watched:
        return Watched([node.pid for node in nodes], self.postgres_pid, self.valkey_pid)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
