"""A node falls silent in all the ways there are, and PostgreSQL holds up nobody who takes its actors over.

Each test fails without the limit that covers its case (see `gameserver/persistence/postgres_limits.py`). What a node
says passes a relay, which can lose the end of it; where TCP itself has to notice, the server listens there.
"""

import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from gameserver.actors.ports import Activation, Journal
from gameserver.errors import OutcomeUnknown
from gameserver.ids import new_id
from gameserver.persistence import embedded_postgres, postgres_limits
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.migrations import migrate
from gameserver.persistence.postgres import Postgres, own_connection
from tests.contracts.journal_contract import created, entry, score
from tests.integration import stopped_writer
from tests.integration.postgres_stage import Appending, Node, holding_score, transaction, until
from tests.integration.relay import opened_relay

SYNC = b"S\0\0\0\x04"
BEYOND_ANY_BUFFER = 32_000_000
TAKEOVER_LIMIT_S = 4.0
START_DEADLINE_S = 20

UPDATE_WITH_LONG_ANSWER = f"UPDATE actors SET wake_at_ms = 1 WHERE id = $1 RETURNING repeat('x', {BEYOND_ANY_BUFFER})"
SESSIONS = "(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests')"
IDLE, TAKER, WRITER = 2, 3, 4
"""Connections of a node that has touched no actor, of one that has taken some, and of one that has committed."""


@pytest.fixture(scope="module")
def tcp_database() -> Iterator[str]:
    """A migrated database on a server of its own that listens on TCP."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listening = {"listen_addresses": "127.0.0.1", "port": str(port)}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(embedded_postgres, "SERVER_SETTINGS", embedded_postgres.SERVER_SETTINGS | listening)
        with EmbeddedPostgres(Path(folder)):
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
            migrate(url)
            yield url


async def taken_over(near: Journal, postgres: Postgres, actor: Activation) -> Activation:
    """By a node that is well, once the silent one has lost its lease."""
    await postgres.fetch("DELETE FROM nodes WHERE name = 'node-a'")
    with trio.fail_after(TAKEOVER_LIMIT_S):
        return await near.activate(actor.actor_id)


async def test_a_node_that_is_paused_before_the_end_of_its_commit_does_not_keep_the_row(
    node: Node, database: str
) -> None:
    """It was run, and would be committed with the next five bytes."""
    near, postgres = await node.journal(database, "node-b")
    async with opened_relay(database) as relay, trio.open_nursery() as nursery:
        journal, _ = await node.journal(relay.url)
        actor = await created(journal)
        await journal.append([entry(actor, 1)])
        relay.withhold(SYNC)
        append = Appending(nursery, journal, [entry(actor, 2)])
        await until(
            postgres, "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'ClientRead')"
        )
        again = await taken_over(near, postgres, actor)
        assert (again.epoch, again.last_seq) == (actor.epoch + 1, 1)
        await append.ended()
        assert isinstance(append.error, OutcomeUnknown)


async def test_a_node_that_never_reads_the_answer_does_not_keep_the_row(node: Node, tcp_database: str) -> None:
    near, postgres = await node.journal(tcp_database, "node-b")
    async with opened_relay(tcp_database) as relay, trio.open_nursery() as nursery:
        journal, far = await node.journal(relay.url)
        actor = await created(journal)
        async with own_connection(far, far.settings.commit_deadline_ms) as connection:
            await connection.fetch(UPDATE_WITH_LONG_ANSWER, new_id(), lost=OutcomeUnknown)  # from now on it is prepared
            relay.deafen()
            nursery.start_soon(unanswered, connection, actor)
            await until(postgres, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'ClientWrite')")
            assert (await taken_over(near, postgres, actor)).epoch == actor.epoch + 1


async def unanswered(connection, actor: Activation) -> None:
    with pytest.raises(OutcomeUnknown):
        await connection.fetch(UPDATE_WITH_LONG_ANSWER, actor.actor_id, lost=OutcomeUnknown)


async def test_a_machine_that_vanished_keeps_no_connection(node: Node, tcp_database: str) -> None:
    _, postgres = await node.journal(tcp_database, "node-b")
    async with opened_relay(tcp_database) as relay:
        journal, _ = await node.journal(relay.url)
        await journal.append([entry(await created(journal), 1)])
        await until(postgres, f"{SESSIONS} = {IDLE + WRITER}")
        relay.vanish()
        with trio.fail_after(TAKEOVER_LIMIT_S):
            await until(postgres, f"{SESSIONS} = {IDLE}")


async def test_a_node_that_was_killed_while_its_commit_waits_does_not_keep_the_row(node: Node, database: str) -> None:
    near, postgres = await node.journal(database, "node-b")
    journal, _ = await node.journal(database)
    actor = await created(journal)
    async with transaction(node.bridge, database, holding_score(actor)):
        with trio.move_on_after(0.2):  # cancelled, it closes its connection, as the kernel does for a killed process
            await journal.append([entry(actor, 1, projections=[score(actor, 7)])])
        with trio.fail_after(1.5):
            assert (await taken_over(near, postgres, actor)).last_seq == 0


async def test_a_process_stopped_in_the_middle_of_a_large_commit_keeps_nothing(node: Node, database: str) -> None:
    near, postgres = await node.journal(database, "node-b")
    actor = await created(near)
    await near.release(actor.actor_id, actor.epoch)
    async with opened_relay(database) as relay:
        relay.stall(after_bytes=1_000_000)
        command = [sys.executable, "-m", stopped_writer.__name__, relay.url, actor.actor_id]
        async with trio.open_nursery() as nursery:
            writer = await nursery.start(partial(trio.run_process, command, deliver_cancel=killed))
            with trio.fail_after(START_DEADLINE_S):
                await relay.stalled.wait()
            writer.send_signal(signal.SIGSTOP)
            assert (await taken_over(near, postgres, actor)).epoch == actor.epoch + 2
            await until(postgres, f"{SESSIONS} = {TAKER}")
            nursery.cancel_scope.cancel()
    assert list((await near.load(actor.actor_id)).rows) == []


async def test_connections_that_nobody_uses_are_closed_and_opened_anew_unnoticed(node: Node, database: str) -> None:
    _, postgres = await node.journal(database, "node-b")
    journal, _ = await node.journal(database, idle_limit_ms=400)
    actor = await created(journal)
    for number in range(1, 4):
        assert await journal.append([entry(actor, number)]) == {actor.actor_id}
        await until(postgres, f"{SESSIONS} = {IDLE}")


async def test_an_older_server_is_not_asked_for_what_it_does_not_know(
    node: Node, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_limits, "HAS_TRANSACTION_TIMEOUT", 990_000)
    _, postgres = await node.journal(database)
    assert [row[0] for row in await postgres.fetch("SHOW transaction_timeout")] == ["0"]


async def killed(process: trio.Process) -> None:
    process.kill()
