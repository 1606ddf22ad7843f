"""Migrations are applied once, wholly, by one at a time, and never changed afterwards."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gameserver.errors import StartError
from gameserver.persistence import migrations
from gameserver.persistence.migrations import migrate
from tests.conftest import at_database


@pytest.fixture
def empty_database(postgres_server: str, run_sql: Callable[[str], None]) -> Iterator[str]:
    run_sql("CREATE DATABASE migrations_test")
    yield at_database(postgres_server, "migrations_test")
    run_sql("DROP DATABASE migrations_test WITH (FORCE)")


def use_files(monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    wanted = {f"{name}.sql": text for name, text in texts.items()}
    monkeypatch.setattr(migrations, "_files", lambda: wanted)


def test_the_packaged_files_once_each(empty_database: str) -> None:
    applied = migrate(empty_database)
    assert applied == sorted(applied)
    assert applied[0] == "0001_actors_and_projections.sql"
    assert migrate(empty_database) == []


def test_several_at_once_take_turns(empty_database: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(migrate, [empty_database] * 3))
    assert sorted(map(bool, results)) == [False, False, True]


def test_a_file_that_fails_leaves_nothing(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_files(monkeypatch, one="CREATE TABLE a (x int)", two="CREATE TABLE b (x int); SELECT 1 / 0")
    with pytest.raises(StartError, match="division by zero"):
        migrate(empty_database)
    use_files(monkeypatch, one="CREATE TABLE a (x int)", two="CREATE TABLE b (x int)")
    assert migrate(empty_database) == ["two.sql"]


def test_a_changed_or_unknown_file_is_refused(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_files(monkeypatch, one="CREATE TABLE a (x int)")
    migrate(empty_database)
    use_files(monkeypatch, one="CREATE TABLE a (x bigint)")
    with pytest.raises(StartError, match=r"one\.sql was changed"):
        migrate(empty_database)
    use_files(monkeypatch, two="SELECT 1")
    with pytest.raises(StartError, match=r"one\.sql, which this version does not know"):
        migrate(empty_database)


def test_no_server() -> None:
    with pytest.raises(StartError, match="could not be brought up to date"):
        migrate("postgresql://nobody@/none?host=/nowhere")
