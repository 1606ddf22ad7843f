"""One connection to PostgreSQL: libpq's, waited for by Trio itself.

libpq says what it waits for. There is no task and no callback: a statement is sent, its socket waited for, and its rows
are there. Only the look-up of a host's name would block, and has a thread for it. asyncpg does the same on a loop of
asyncio's for three to four times the CPU (see decisions/0016-libpq.md).

Invariants
- One statement at a time, and each is a transaction by itself. It is prepared when it is asked for the first time.
- A statement that was left before its end (cancelled, out of time, its connection lost) leaves the connection
  unusable: what comes next would read the answer to what came before.
- A connection on which the server speaks without being asked is unusable, too: mostly it says good-bye.
"""

import select
from collections import namedtuple
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import trio
from psycopg import Error, OperationalError, ProgrammingError
from psycopg.adapt import Transformer
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, PGconn, PollingStatus, error_message
from psycopg.pq.abc import PGconn as Libpq
from psycopg.pq.abc import PGresult

from gameserver.errors import StartError
from gameserver.persistence.postgres_parameters import Parameters

Rows = list[Any]
"""Named tuples: a column by its name or by its place."""

SUCCEEDED: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
LAST_WORDS: Final = ("FATAL", "PANIC")


class PostgresConnection:
    """Use it through `connect`."""

    def __init__(self, libpq: Libpq) -> None:
        self._libpq, self._socket = libpq, libpq.socket
        self._statements: dict[str, _Statement] = {}
        """By their texts, which are constants."""
        self._numbers = count()
        self.settled = True
        """No statement is under way, or was left before its end."""
        self._spoken_to = select.poll()
        self._spoken_to.register(self._socket, select.POLLIN)

    @property
    def server_version(self) -> int:
        """170002 is 17.2."""
        return self._libpq.server_version

    @property
    def usable(self) -> bool:
        """Also by a look at the socket, which costs a microsecond."""
        return self.settled and not self._spoken_to.poll(0)

    async def fetch(self, text: str, asked: Parameters) -> Rows:
        """The rows of one statement. Raises psycopg.Error: with an SQLSTATE, if the server said no."""
        prepared = self._statements.get(text)
        if prepared is not None:
            try:
                return await self._run(prepared, asked)
            except (FeatureNotSupported, InvalidSqlStatementName):  # its columns have changed since, or it is gone
                del self._statements[text]
                if not self.settled:
                    raise
        return await self._run(await self._prepare(text), asked)

    async def execute(self, text: str) -> None:
        """A statement without parameters and without rows, not prepared. Raises as `fetch`."""
        self.settled = False
        self._libpq.send_query(text.encode())
        await self._result()

    def close(self) -> None:
        """At once; who waits for it gets ClosedResourceError."""
        if self._libpq.status != ConnStatus.BAD:
            trio.lowlevel.notify_closing(self._socket)
        self._libpq.finish()
        self.settled = False

    async def _run(self, statement: "_Statement", asked: Parameters) -> Rows:
        self.settled = False
        self._libpq.send_query_prepared(statement.name, *asked, Format.BINARY)
        return statement.rows(await self._result())

    async def _prepare(self, text: str) -> "_Statement":
        statement = _Statement(b"%d" % next(self._numbers))
        self.settled = False
        self._libpq.send_prepare(statement.name, text.encode())
        await self._result()
        self._statements[text] = statement
        return statement

    async def _result(self) -> PGresult:
        """Of the statement under way, when the server has no more to say about it."""
        while self._libpq.flush():  # the server reads all of a statement before it says a word
            await trio.lowlevel.wait_writable(self._socket)
        result: PGresult | None = None
        error: Error | None = None
        while (each := await self._next_result()) is not None:  # what goes wrong at the commit comes after the rows
            if each.status in SUCCEEDED:
                result = each
                continue
            error = error or error_from_result(each)
            if ends_connection(error):
                raise error
        self.settled = True
        if error is not None:
            raise error
        assert result is not None
        return result

    async def _next_result(self) -> PGresult | None:
        while self._libpq.is_busy():
            await trio.lowlevel.wait_readable(self._socket)
            self._libpq.consume_input()
        return self._libpq.get_result()


class _Statement:
    """One that is prepared; how its rows are read is found out with the first."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self._transformer = Transformer()
        self._row: Any = None

    def rows(self, result: PGresult) -> Rows:
        if not result.nfields:
            return []
        known = self._row is not None
        self._transformer.set_pgresult(result, set_loaders=not known, format=Format.BINARY)
        if not known:
            names = [(result.fname(place) or b"").decode() for place in range(result.nfields)]
            self._row = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - not known before
        rows = self._transformer.load_rows(0, result.ntuples, self._row._make)
        self._transformer.set_pgresult(None, set_loaders=False)  # it would be kept until the next one
        return rows


def ends_connection(error: Error) -> bool:
    """The server's last words, or libpq's own, who has lost it."""
    return error.sqlstate is None or error.diag.severity_nonlocalized in LAST_WORDS


def conninfo_of(url: str, **more: str) -> dict[str, Any]:
    """libpq's parameters. Raises StartError."""
    try:
        return conninfo_to_dict(url, client_encoding="UTF8", **more)
    except ProgrammingError:
        # What libpq says of it quotes it, and there may be a password in it.
        raise StartError("DATABASE_URL has to look like postgresql://user:password@host/database") from None


async def connect(conninfo: Mapping[str, Any], limit_s: float) -> PostgresConnection:
    """To the first server that lets us in, of all that `conninfo` (libpq's parameters) may mean.

    Raises psycopg.Error, TooSlowError: nobody gets more than his share of the time.
    """
    with trio.fail_after(limit_s):
        attempts = await trio.to_thread.run_sync(_attempts, conninfo, abandon_on_cancel=True)
        share_s, refusals = limit_s / len(attempts), list[Error]()
        for attempt in attempts:
            with trio.move_on_after(share_s):
                try:
                    return PostgresConnection(await _connected(make_conninfo("", **attempt)))
                except Error as error:
                    refusals.append(error)
    raise refusals[-1] if refusals else trio.TooSlowError


def _attempts(conninfo: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One for each address that the hosts' names stand for."""
    try:
        return conninfo_attempts(conninfo)
    except (OSError, UnicodeError) as error:
        raise OperationalError(str(error)) from error


async def _connected(conninfo: str) -> Libpq:
    libpq = PGconn.connect_start(conninfo.encode())
    try:
        await _shake_hands(libpq)
    except BaseException:
        libpq.finish()
        raise
    libpq.nonblocking = 1
    return libpq


async def _shake_hands(libpq: Libpq) -> None:
    wants = PollingStatus.FAILED if libpq.status == ConnStatus.BAD else PollingStatus.WRITING
    while wants != PollingStatus.OK:
        if wants == PollingStatus.FAILED:
            raise OperationalError(error_message(libpq))
        wait = trio.lowlevel.wait_readable if wants == PollingStatus.READING else trio.lowlevel.wait_writable
        await wait(libpq.socket)
        wants = PollingStatus(libpq.connect_poll())
