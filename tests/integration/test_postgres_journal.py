"""The journal on a real PostgreSQL: races for an actor's row, lost connections, restarts.

What is held up on purpose: a row of `battle_scores` that a stranger's transaction has written keeps a commit waiting
*after* it has locked its actor; a lock on the whole table keeps it waiting *before* that.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import trio

from gameserver.actors.ports import Activation, Journal, OutboxRow
from gameserver.config import PostgresSettings
from gameserver.errors import CommitRejected, JournalError, OutcomeUnknown, StartError, StorageUnavailable
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.postgres import open_postgres, violated
from tests.contracts.journal_contract import created, entry, score
from tests.integration.postgres_stage import (
    COMMITS_ENDED,
    LONG_MS,
    Appending,
    Node,
    holding_score,
    statements_wait,
    transaction,
    until,
)
from tests.integration.relay import opened_relay

SLEEPING = "(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests' AND wait_event = 'PgSleep')"


async def test_a_row_that_is_being_taken_counts_as_taken(node: Node, database: str) -> None:
    """A commit while an activation holds the row: it does not wait, and only that actor does not land."""
    journal, _ = await node.journal(database)
    one, two = await created(journal), await created(journal)
    taking = f"UPDATE actors SET epoch = epoch + 1 WHERE id = '{one.actor_id}'"
    async with transaction(node.bridge, database, taking):
        with trio.fail_after(2):
            batch = [entry(one, 1, projections=[score(one, 1)]), entry(two, 1, projections=[score(two, 1)])]
            assert await journal.append(batch) == {two.actor_id}
    assert list((await journal.load(one.actor_id)).rows) == []


async def test_activation_waits_for_a_commit_that_holds_the_row(node: Node, database: str) -> None:
    journal, postgres = await node.journal(database)
    actor = await created(journal)
    taken: list[Activation] = []

    async def take() -> None:
        taken.append(await journal.activate(actor.actor_id))

    async with trio.open_nursery() as nursery:
        async with transaction(node.bridge, database, holding_score(actor)):
            append = Appending(nursery, journal, [entry(actor, 1, projections=[score(actor, 7)])])
            await statements_wait(postgres, 1)
            nursery.start_soon(take)
            await statements_wait(postgres, 2)
            assert taken == []
        await append.ended()
    assert append.landed == {actor.actor_id}
    assert [(activation.epoch, activation.last_seq) for activation in taken] == [(actor.epoch + 1, 1)]


async def test_a_second_taker_that_waited_sees_the_first_one(node: Node, database: str) -> None:
    """Both find a lease that has run out; the one that waits for the row must look again once it has it."""
    lost, postgres = await node.journal(database, "lost")
    (second, _), (first, _) = await node.journal(database, "second"), await node.journal(database, "first")
    actor = await created(lost)
    await postgres.fetch("UPDATE nodes SET lease_until = now() - interval '1 s' WHERE name = 'lost'")
    refused: list[str] = []

    async def take(journal: Journal, name: str) -> None:
        try:
            await journal.activate(actor.actor_id)
        except JournalError as error:
            refused.append(f"{name}: {error}")

    holding_actor = f"SELECT FROM actors WHERE id = '{actor.actor_id}' FOR UPDATE"
    async with trio.open_nursery() as nursery, transaction(node.bridge, database, holding_actor):
        nursery.start_soon(take, first, "first")
        await statements_wait(postgres, 1)
        nursery.start_soon(take, second, "second")
        await statements_wait(postgres, 2)
    assert refused == ["second: owned by first"]


async def test_a_lost_commit_that_holds_the_row_lands_before_activation(node: Node, database: str) -> None:
    """The connection is cut in mid-commit; the statement lives on, and activation waits it out."""
    near, postgres = await node.journal(database, "node-b")
    async with opened_relay(database) as relay, trio.open_nursery() as nursery:
        journal, _ = await node.journal(relay.url)
        actor = await created(journal)
        async with transaction(node.bridge, database, holding_score(actor)):
            append = Appending(nursery, journal, [entry(actor, 1, projections=[score(actor, 7)])])
            await statements_wait(postgres, 1)
            relay.cut()
            await append.ended()
            assert isinstance(append.error, OutcomeUnknown)
            await postgres.fetch("DELETE FROM nodes WHERE name = 'node-a'")
            taken = trio.Event()

            async def take() -> None:
                assert (await near.activate(actor.actor_id)).last_seq == 1
                taken.set()

            nursery.start_soon(take)
            await statements_wait(postgres, 2)
        with trio.fail_after(5):
            await taken.wait()
        assert [row.seq for row in (await near.load(actor.actor_id)).rows] == [1]
        assert [row[0] for row in await postgres.fetch("SELECT score FROM battle_scores")] == [7]


async def test_a_lost_commit_that_comes_after_activation_is_fenced(node: Node, database: str) -> None:
    near, postgres = await node.journal(database, "node-b")
    async with opened_relay(database) as relay, trio.open_nursery() as nursery:
        journal, _ = await node.journal(relay.url)
        warm, actor = await created(journal), await created(journal)
        await journal.append([entry(warm, 1, outbox=[OutboxRow("warm", 1, {})])])  # prepared: next time it is just run
        async with transaction(node.bridge, database, "LOCK TABLE battle_scores IN ACCESS EXCLUSIVE MODE"):
            append = Appending(nursery, journal, [entry(actor, 1, projections=[score(actor, 7)])])
            await statements_wait(postgres, 1)
            relay.cut()
            await append.ended()
            assert isinstance(append.error, OutcomeUnknown)
            await postgres.fetch("DELETE FROM nodes WHERE name = 'node-a'")
            again = await near.activate(actor.actor_id)
            assert (again.epoch, again.last_seq) == (actor.epoch + 1, 0)
        await until(postgres, COMMITS_ENDED)
        assert list((await near.load(actor.actor_id)).rows) == []
        assert await postgres.fetch("SELECT score FROM battle_scores") == []
        assert await near.append([entry(again, 1, projections=[score(again, 9)])]) == {actor.actor_id}


async def test_a_commit_beyond_its_deadline(node: Node, database: str) -> None:
    """Neither the server nor the next commit goes on waiting for it."""
    journal, _ = await node.journal(database, commit_deadline_ms=300)
    actor, other = await created(journal), await created(journal)
    async with transaction(node.bridge, database, holding_score(actor)):
        with trio.fail_after(2), pytest.raises((OutcomeUnknown, StorageUnavailable)):
            await journal.append([entry(actor, 1, projections=[score(actor, 7)])])
        with trio.fail_after(2):
            assert await journal.append([entry(other, 1)]) == {other.actor_id}
            assert (await journal.activate(actor.actor_id)).last_seq == 0


async def test_a_backend_that_is_terminated_in_mid_commit(node: Node, database: str) -> None:
    journal, postgres = await node.journal(database)
    actor = await created(journal)
    async with trio.open_nursery() as nursery, transaction(node.bridge, database, holding_score(actor)):
        append = Appending(nursery, journal, [entry(actor, 1, projections=[score(actor, 7)])])
        await statements_wait(postgres, 1)
        await postgres.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        await append.ended()
    assert isinstance(append.error, OutcomeUnknown)
    again = await journal.activate(actor.actor_id)
    assert again.last_seq == 0
    assert await journal.append([entry(again, 1)]) == {actor.actor_id}


async def test_a_cancelled_append_does_not_block_the_next(node: Node, database: str) -> None:
    journal, _ = await node.journal(database)
    actor, other = await created(journal), await created(journal)
    async with transaction(node.bridge, database, holding_score(actor)):
        with trio.move_on_after(0.1) as scope:
            await journal.append([entry(actor, 1, projections=[score(actor, 7)])])
        assert scope.cancelled_caught
        with trio.fail_after(2):
            assert await journal.append([entry(other, 1)]) == {other.actor_id}


async def test_postgres_restarted(node: Node, database: str, embedded_postgres: EmbeddedPostgres) -> None:
    """What was acknowledged is there; connections come back by themselves."""
    journal, _ = await node.journal(database)
    actor, landed = await created(journal), 0
    assert await journal.append([entry(actor, 1)]) == {actor.actor_id}
    embedded_postgres.restart()  # on this thread, which the server lives with
    with trio.fail_after(20):
        while not landed:
            try:
                again = await journal.activate(actor.actor_id)
                landed = len(await journal.append([entry(again, again.last_seq + 1)]))
            except (StorageUnavailable, OutcomeUnknown):
                await trio.sleep(0.05)
    assert [row.seq for row in (await journal.load(actor.actor_id)).rows][:1] == [1]


async def test_slow_queries_do_not_hold_up_an_activation(node: Node, database: str) -> None:
    journal, postgres = await node.journal(database)
    _, beside = await node.journal(database, "node-b")
    actor = await created(journal)
    async with trio.open_nursery() as nursery:
        for _ in range(2 * postgres.settings.pool_size):
            nursery.start_soon(postgres.fetch, "SELECT pg_sleep(4)")
        await until(beside, f"{SLEEPING} = {postgres.settings.pool_size}")
        with trio.fail_after(1):
            again = await journal.activate(actor.actor_id)
            await journal.load(actor.actor_id)
        assert again.epoch == actor.epoch + 1
        nursery.cancel_scope.cancel()


async def test_no_server() -> None:
    settings = PostgresSettings(url="postgresql://nobody@/none?host=/nowhere", connect_deadline_ms=200)
    with pytest.raises(StartError, match="cannot be reached"):
        async with open_postgres(settings, "tests", 300):
            pass


async def test_a_database_that_does_not_let_us_in(database: str) -> None:
    url = urlsplit(database)._replace(path="/no_such_database").geturl()
    with pytest.raises(StartError, match="does not let us in"):
        async with open_postgres(PostgresSettings(url=url), "tests", LONG_MS):
            pass


async def test_the_server_away_means_nothing_was_sent(node: Node, database: str) -> None:
    async with opened_relay(database) as relay:
        journal, _ = await node.journal(relay.url, connect_deadline_ms=300)
        actor = await created(journal)
        relay.cut()
        with pytest.raises(StorageUnavailable):
            await journal.append([entry(actor, 1)])
        with pytest.raises(StorageUnavailable):
            await journal.load(actor.actor_id)


@pytest.fixture
def guest_database(database: str, run_sql: Callable[[str], None]) -> Iterator[str]:
    """The database's URL for a role of its own, which may lose its leave to log in."""
    run_sql("CREATE ROLE guest LOGIN SUPERUSER")
    yield urlsplit(database)._replace(netloc="guest@").geturl()
    run_sql("DROP ROLE guest")


async def test_not_being_let_in_any_more_means_nothing_was_sent(node: Node, guest_database: str) -> None:
    journal, postgres = await node.journal(guest_database)
    actor = await created(journal)  # no commit yet, so the connection for them is still to be opened
    await postgres.fetch("ALTER ROLE guest NOLOGIN")
    with pytest.raises(StorageUnavailable, match="not permitted to log in"):
        await journal.append([entry(actor, 1)])
    await postgres.fetch("ALTER ROLE guest LOGIN")
    assert await journal.append([entry(actor, 1)]) == {actor.actor_id}


async def test_what_a_statement_violates_is_named(node: Node, database: str) -> None:
    _, postgres = await node.journal(database)
    insert = "INSERT INTO players (id, username, created_at_ms) VALUES (gen_random_uuid(), $1, 0)"
    await postgres.fetch(insert, "Bear")
    with pytest.raises(CommitRejected) as refused:
        await postgres.fetch(insert, "bEAR")
    assert violated(refused.value) == "players_by_username"
    with pytest.raises(CommitRejected) as refused:
        await postgres.fetch(insert, "a\0b")
    assert violated(refused.value) is None
