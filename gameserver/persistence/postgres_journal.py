"""The journal in PostgreSQL: the port's promises, each kept by one autocommit statement.

Idea: an actor's row is the fence. Activation raises its `epoch`, a commit moves its `last_seq`, and both lock it; so of
an activation and a commit under the older epoch, one comes first. Either the commit did: activation waits for its lock,
and what is read afterwards holds its events. Or activation did: the commit finds another epoch, or a locked row that it
skips, and nothing of that actor lands.

Invariants
- Only commit and activation (and giving up: release, set aside) change `actors`; only creation inserts into it.
- `last_seq` is the seq of the actor's last journal row, and there is no hole before it.
- Projection, outbox and key rows of an entry are written if and only if its journal row is.

Failure: a commit whose connection was lost may still land. Nobody asks for it: the next activation fences it or waits
until it is done, so that its outcome is simply read. Every connection has a statement timeout: nothing lost hangs on.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from attrs import asdict

from gameserver.actors.ports import Activation, Entry, History, JournalRow, Sleeper, Snapshot
from gameserver.cluster.ports import Lease
from gameserver.codec import encode
from gameserver.errors import (
    ActorNotFound,
    ActorSetAside,
    CommitRejected,
    LeaseLost,
    OutcomeUnknown,
    OwnedElsewhere,
    StorageUnavailable,
)
from gameserver.persistence.postgres import Connections, Postgres, own_connection, own_pool
from gameserver.persistence.statements import statement

COMMIT: Final = statement("commit")
COMMIT_WITH_PROJECTIONS: Final = COMMIT.replace("\nSELECT place", f"\n{statement('projections')}SELECT place")
CREATE: Final = """
INSERT INTO actors (id, kind, mode, rules_version, seed) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING
"""
ACTIVATE: Final = statement("activate")
WHY_NOT_ACTIVATED: Final = statement("why_not_activated")
LOAD: Final = statement("load")
READ: Final = statement("read")
SAVE_SNAPSHOT: Final = statement("save_snapshot")
RELEASE: Final = "UPDATE actors SET owner = NULL WHERE id = $1 AND epoch = $2 AND owner = $3"
SET_ASIDE: Final = "UPDATE actors SET set_aside = $3, owner = NULL WHERE id = $1 AND epoch = $2"
LET_BACK: Final = "UPDATE actors SET set_aside = NULL WHERE id = $1 AND set_aside IS NOT NULL RETURNING 1"
SLEEPERS: Final = statement("sleepers")

PROJECTED: Final = frozenset({"groups", "group_members", "battles", "battle_members", "battle_scores"})

BEFORE_ALL: Final = Sleeper("00000000-0000-0000-0000-000000000000", -1, "")
SEED_BYTES: Final = 32
ACTIVATION_TRIES: Final = 3

# The plan of a commit is made once: making it anew costs more than running it. It must then hold for a table that has
# grown since, so it may not read all of `actors` because that was short at the time.
COMMIT_PLANNING: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


@contextlib.asynccontextmanager
async def open_postgres_journal(postgres: Postgres, lease: Callable[[], Lease]) -> AsyncIterator["PostgresJournal"]:
    """The journal of the node whose present lease `lease` gives; it raises LeaseLost when there is none."""
    settings = postgres.settings
    async with (
        own_pool(postgres, settings.journal_pool_size) as own,
        own_connection(postgres, settings.commit_deadline_ms, COMMIT_PLANNING) as commits,
    ):
        yield PostgresJournal(own, commits, lease)


class PostgresJournal:
    """Use it through `open_postgres_journal`."""

    def __init__(self, postgres: Postgres, commits: Connections, lease: Callable[[], Lease]) -> None:
        self._postgres = postgres
        self._commits = commits
        self._lease = lease

    async def create(self, actor_id: str, kind: str, mode: str, rules_version: int) -> Activation:
        seed = secrets.token_hex(SEED_BYTES)
        await self._postgres.fetch(CREATE, actor_id, kind, mode, rules_version, seed)
        return await self.activate(actor_id)

    async def activate(self, actor_id: str) -> Activation:
        lease = self._lease()
        asked = (actor_id, lease.name, lease.incarnation)
        for _ in range(ACTIVATION_TRIES):
            row = await self._postgres.fetchrow(ACTIVATE, *asked)
            if row is not None:
                return Activation(actor_id, **row._asdict())
            await self._raise_why_not(asked)
        raise StorageUnavailable(f"actor {actor_id} kept changing hands")

    async def _raise_why_not(self, asked: tuple[str, str, str]) -> None:
        """Returns if the reason has gone meanwhile."""
        row = await self._postgres.fetchrow(WHY_NOT_ACTIVATED, *asked)
        if row is None:
            raise ActorNotFound(asked[0])
        if row.is_set_aside:
            raise ActorSetAside(asked[0])
        if not row.have_lease:
            raise LeaseLost(asked[1])
        if row.owner not in (None, asked[1]):
            raise OwnedElsewhere(row.owner)

    async def load(self, actor_id: str) -> History:
        rows = await self._postgres.fetch(LOAD, actor_id)
        snapshot = None
        if rows and rows[0].is_snapshot:
            first = rows.pop(0)
            snapshot = Snapshot(first.seq, first.rules_version, first.outcomes)
        return History(snapshot, _journal_rows(rows))

    async def read(self, actor_id: str, after: int, up_to: int, limit: int) -> Sequence[JournalRow] | None:
        if after >= up_to:
            return ()
        if up_to - after > limit:
            return None
        rows = _journal_rows(await self._postgres.fetch(READ, actor_id, after, up_to))
        return rows if _without_hole(rows, after) else None

    async def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        if not entries:
            return frozenset()
        more = [entry for entry in entries if entry.projections or entry.outbox or entry.keys]
        text, args = (COMMIT_WITH_PROJECTIONS, (_json(_rows_by_table(more)),)) if more else (COMMIT, ())
        landed = await self._commits.fetch(text, *_columns(entries), *args, lost=OutcomeUnknown)
        return frozenset([entries[place - 1].actor_id for (place,) in landed])

    async def save_snapshot(self, actor_id: str, epoch: int, snapshot: Snapshot) -> None:
        args = (actor_id, epoch, snapshot.seq, snapshot.rules_version, snapshot.state)
        await self._postgres.fetch(SAVE_SNAPSHOT, *args)

    async def release(self, actor_id: str, epoch: int) -> None:
        await self._postgres.fetch(RELEASE, actor_id, epoch, self._lease().name)

    async def set_aside(self, actor_id: str, epoch: int, reason: str) -> None:
        # A reason quotes whatever went wrong; PostgreSQL's texts take neither NUL nor half a surrogate pair.
        text = reason.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        await self._postgres.fetch(SET_ASIDE, actor_id, epoch, text)

    async def let_back(self, actor_id: str) -> bool:
        return await self._postgres.fetchrow(LET_BACK, actor_id) is not None

    async def sleepers(
        self, now_ms: int, rules: Sequence[str], limit: int, after: Sleeper | None = None
    ) -> Sequence[Sleeper]:
        lease, last = self._lease(), after or BEFORE_ALL
        asked = (now_ms, lease.name, lease.incarnation, *_rules_columns(rules), last.wake_at_ms, last.actor_id, limit)
        return [Sleeper(**row._asdict()) for row in await self._postgres.fetch(SLEEPERS, *asked)]


def _rules_columns(rules: Sequence[str]) -> tuple[list[str], list[str], list[int]]:
    """The parameters $4 to $6 of the question for sleepers."""
    kinds, modes, versions = [], [], []
    for text in rules:
        kind, _, rest = text.partition("/")
        mode, _, version = rest.rpartition("/")  # a mode may have a slash in its name
        kinds.append(kind)
        modes.append(mode)
        versions.append(int(version))
    return kinds, modes, versions


def _journal_rows(rows: Iterable[Any]) -> list[JournalRow]:
    return [
        JournalRow(row.first_seq, row.seq, row.rules_version, row.outcomes, row.public, row.private) for row in rows
    ]


def _without_hole(rows: Sequence[JournalRow], after: int) -> bool:
    """Whether the rows begin at `after + 1` or before, and each next one where the last one ended."""
    if not rows or rows[0].first_seq > after + 1:
        return False
    return all(row.first_seq == before.seq + 1 for before, row in pairwise(rows))


def _columns(entries: Sequence[Entry]) -> Iterable[object]:
    """The parameters $1 to $9 of the commit."""
    rows = [
        (
            entry.actor_id,
            entry.epoch,
            entry.row.first_seq,
            entry.row.seq,
            entry.row.rules_version,
            entry.wake_at_ms,
            entry.row.outcomes,
            entry.row.public,
            entry.row.private,
        )
        for entry in entries
    ]
    return zip(*rows, strict=True)


def _rows_by_table(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """The parameter $10 of the commit; of several rows under one primary key, the last."""
    projections: dict[str, dict[tuple[str, ...], Any]] = {}
    outbox: list[Any] = []
    keys: list[Any] = []
    for entry in entries:
        for projection in entry.projections:
            assert projection.table in PROJECTED, projection.table
            projections.setdefault(projection.table, {})[projection.key] = projection.row
        outbox.extend({"actor_id": entry.actor_id} | asdict(news) for news in entry.outbox)
        keys.extend(
            {"actor_id": entry.actor_id} | asdict(key) | {"answer": f"\\x{key.answer.hex()}"} for key in entry.keys
        )
    tables: dict[str, list[Any]] = {table: list(rows.values()) for table, rows in projections.items()}
    return tables | {name: rows for name, rows in (("outbox", outbox), ("idempotency_keys", keys)) if rows}


def _json(tables: dict[str, list[Any]]) -> str:
    try:
        return encode(tables).decode()
    except (TypeError, ValueError, OverflowError) as error:  # half a surrogate pair, a huge integer, no plain data
        raise CommitRejected(f"a projection or an outbox row is not JSON: {error}") from error
