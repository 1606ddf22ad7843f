"""`gameserver replay BATTLE`: a battle from its journal, step by step: every event, and what it changed.

Nothing happens here but the folding that also restores a battle in a node. It only reads: the battle may be running.
At the end, the state that all events lead to is compared, byte for byte, with the one that a node would restore from
the last snapshot.
"""
# ruff: noqa: T201 - what it prints is what it is for

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import evolve, frozen

from gameserver.actors.activation import fold
from gameserver.actors.kinds import Kind, Kinds
from gameserver.actors.ports import History
from gameserver.cluster.ports import Lease
from gameserver.config import CommandSettings, Settings
from gameserver.errors import LeaseLost, Refused, StartError, unwrapped
from gameserver.ids import is_uuid
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_running import running_postgres_url
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_journal import PostgresJournal, open_postgres_journal
from gameserver.replay_steps import Step, steps
from gameserver.rule_files import load_rules

ACTOR: Final = "SELECT kind, mode, rules_version, last_seq FROM actors WHERE id = $1"
NAME: Final = "gameserver replay"
EVENTS_LIMIT: Final = 1_000_000
"""Events of one battle that are read; of a longer one, those since its last snapshot."""

EXIT_DIFFERS: Final = 1


@frozen
class Recorded:
    """A battle as the journal has it. `told` is all that is still kept; `restored` what a node would begin with."""

    kind: Kind
    told: History
    restored: History


def run(settings: Settings, battle: str, *, step: bool = False, rules: Path | None = None) -> int:
    """The exit code; `step` waits for Enter after each event. Raises StartError: no such battle, no journal."""
    if not is_uuid(battle):
        raise StartError(f"{battle!r} is no battle's ID; expected a UUID in lower case")
    kinds = Kinds(load_rules(rules), settings.guards)
    with _database(settings) as url, unwrapped():
        recorded = trio.run(partial(_read, settings, url, battle, kinds))
    for each in steps(recorded.kind, recorded.told, settings.commands):
        print(each.text, flush=True)
        if step and _wants_to_stop(each):
            return 0
    if not _same_state(recorded, settings.commands):
        print("The snapshot leads to another state than the events do: the rules changed without a new version.")
        return EXIT_DIFFERS
    return 0


def _wants_to_stop(each: Step) -> bool:
    print(f"-- {each.seq}: Enter goes on, Ctrl-D ends --", end="", flush=True)
    return sys.stdin.readline() == ""


def _same_state(recorded: Recorded, commands: CommandSettings) -> bool:
    one, other = (fold(recorded.kind, history, commands) for history in (recorded.told, recorded.restored))
    encode = recorded.kind.encode_state
    return encode(one.machine, one.outcomes, one.at_ms) == encode(other.machine, other.outcomes, other.at_ms)


# -- the journal ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The configured database; else that of the game that runs in the data folder; else that folder's, started."""
    folder = settings.node.data_dir
    url = settings.postgres.url or running_postgres_url(folder)
    if url:
        yield url
    elif (folder / "postgres").is_dir():
        with EmbeddedPostgres(folder, deadline_s=settings.node.start_deadline_ms / 1_000) as url:
            yield url
    else:
        raise StartError(f"there is no game in {folder.absolute()}; set DATABASE_URL, or GAMESERVER_NODE_DATA_DIR")


async def _read(settings: Settings, url: str, battle: str, kinds: Kinds) -> Recorded:
    async with _journal(settings, url) as (postgres, journal):
        actor = await postgres.fetchrow(ACTOR, battle)
        if actor is None or actor.kind != "battle":
            raise StartError(f"there is no battle {battle} in this journal")
        try:
            kind = kinds.find(actor.kind, actor.mode, actor.rules_version)
        except Refused as refused:
            raise StartError(f"{refused.message}; replay needs the rules that it was played with") from refused
        rows = await journal.read(battle, 0, actor.last_seq, EVENTS_LIMIT)
        restored = await journal.load(battle)
        return Recorded(kind, restored if rows is None else History(None, rows), restored)


@contextlib.asynccontextmanager
async def _journal(settings: Settings, url: str) -> AsyncIterator[tuple[Postgres, PostgresJournal]]:
    only_one = evolve(settings.postgres, url=url, pool_size=1)
    async with (
        open_postgres(only_one, NAME, settings.node.start_deadline_ms) as postgres,
        open_postgres_journal(postgres, _no_lease) as journal,
    ):
        yield postgres, journal


def _no_lease() -> Lease:
    """Whoever only reads owns nothing, and can therefore write nothing."""
    raise LeaseLost(NAME)
