"""The embedded servers, for real: they start anywhere from nothing, survive every kill, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from gameserver.errors import StartError
from gameserver.persistence.embedded_directory import SOCKET_DIRECTORY_PREFIX
from gameserver.persistence.embedded_launch import as_user, server_user
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey

PATIENCE_S = 20.0

# A `gameserver up` in miniature: starts both servers, says so, and waits to be killed.
STARTER = """
import sys
from pathlib import Path
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey

folder = Path(sys.argv[1])
with EmbeddedPostgres(folder) as postgres_url, EmbeddedValkey(folder):
    print(postgres_url, flush=True)
    sys.stdin.read()
"""


def query(url: str, *statements: str) -> object:
    """The single value that the last statement returns."""

    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def processes_in(folder: Path) -> list[int]:
    """The processes that work in the folder or below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder.resolve()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_at, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def starter(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own that runs both servers in `tmp_path`."""
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def url_of(starter: "subprocess.Popen[bytes]") -> str:
    assert starter.stdout is not None
    url = starter.stdout.readline().decode().strip()
    assert url, "the starter failed"
    return url


def test_starts_from_nothing_and_keeps_its_data(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as url:
        query(url, "CREATE TABLE kept (value text)", "INSERT INTO kept VALUES ('é') RETURNING value")
    with EmbeddedPostgres(tmp_path) as url:
        assert query(url, "SELECT value FROM kept") == "é"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
    ],
)
def test_is_as_durable_as_production(postgres_server: str, setting: str, value: str) -> None:
    assert query(postgres_server, f"SHOW {setting}") == value


def test_runs_postgresql_18(postgres_server: str) -> None:
    assert str(query(postgres_server, "SHOW server_version")).startswith("18.")


@pytest.mark.parametrize("name", ["with spaces and 'quotes' \"of\" both, kinds", "ünïcödé", "l" * 180])
def test_runs_in_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with EmbeddedPostgres(folder) as url, EmbeddedValkey(folder) as redis_url:
        assert query(url, "SELECT 1") == 1
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have a folder that only root may enter")
def test_runs_in_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with EmbeddedPostgres(folder / "data") as url:
        assert query(url, "SELECT 1") == 1
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (0, 0o700)
    assert (folder / "data").stat().st_uid == 0


def test_leaves_nothing_behind(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path), EmbeddedValkey(tmp_path):
        sockets = [(tmp_path / name).readlink() for name in ("postgres.socket", "valkey.socket")]
        assert all(folder.is_dir() and folder.stat().st_mode & 0o777 == 0o700 for folder in sockets)
        assert processes_in(tmp_path)
    assert not any(folder.exists() for folder in sockets)
    assert not processes_in(tmp_path)
    assert not list(tmp_path.glob("*.socket"))


def test_a_second_start_is_refused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as url, EmbeddedValkey(tmp_path):
        for second in (EmbeddedPostgres(tmp_path), EmbeddedValkey(tmp_path)):
            with pytest.raises(StartError, match=f"in use by another run .process {os.getpid()}"), second:
                pass
        assert query(url, "SELECT 1") == 1


def test_a_killed_postmaster_starts_again_with_every_committed_row(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    with server as url:
        query(url, "CREATE TABLE kept (value int)", "INSERT INTO kept VALUES (7) RETURNING value")
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.alive)
        server.restart()
        assert query(url, "SELECT value FROM kept") == 7


def test_kill_9_of_the_starter_takes_the_servers_with_it(tmp_path: Path, starter: "subprocess.Popen[bytes]") -> None:
    query(url_of(starter), "CREATE TABLE kept (value int)", "INSERT INTO kept VALUES (7) RETURNING value")
    left_behind = [(tmp_path / name).readlink() for name in ("postgres.socket", "valkey.socket")]
    starter.kill()
    wait_until(lambda: not processes_in(tmp_path))

    with EmbeddedPostgres(tmp_path) as url, EmbeddedValkey(tmp_path):
        assert query(url, "SELECT value FROM kept") == 7
        assert not any(folder.exists() for folder in left_behind)


def test_kill_9_of_everything_at_once_is_recovered_from(tmp_path: Path, starter: "subprocess.Popen[bytes]") -> None:
    query(url_of(starter), "CREATE TABLE kept (value int)", "INSERT INTO kept VALUES (7) RETURNING value")
    for pid in (starter.pid, *processes_in(tmp_path)):
        os.kill(pid, signal.SIGKILL)

    with EmbeddedPostgres(tmp_path) as url, EmbeddedValkey(tmp_path):
        assert query(url, "SELECT value FROM kept") == 7


def test_an_orphan_is_stopped_first(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as url:
        query(url, "CREATE TABLE kept (value int)", "INSERT INTO kept VALUES (7) RETURNING value")
    with orphan_in(tmp_path) as orphan, EmbeddedPostgres(tmp_path) as url:
        assert orphan.wait(PATIENCE_S) == 0
        assert query(url, "SELECT value FROM kept") == 7


def orphan_in(folder: Path) -> "subprocess.Popen[bytes]":
    """A PostgreSQL on the folder's data that no lock and no parent's death signal accounts for; ready."""
    from gameserver.persistence.embedded_postgres import _program

    data, program = folder / "postgres", _program("postgres")
    prefix = as_user(server_user(data), signal.SIGINT, program, data)
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories=@gameserver-orphan-{os.getpid()}"]
    process = subprocess.Popen([*prefix, str(program), "-D", str(data), *settings], stderr=subprocess.DEVNULL)
    pid_file = data / "postmaster.pid"
    wait_until(lambda: pid_file.exists() and "ready" in pid_file.read_text())
    return process


def test_a_stale_pid_that_now_belongs_to_another_process_is_no_obstacle(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
    with EmbeddedPostgres(tmp_path) as url:
        assert query(url, "SELECT 1") == 1


def test_a_failed_start_shows_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        pass
    with (tmp_path / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(StartError, match="no_such_setting"), EmbeddedPostgres(tmp_path):
        pass
    assert not processes_in(tmp_path)
    assert not list(tmp_path.glob("*.socket"))


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path):
        pass
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StartError, match="was made by PostgreSQL 16"), EmbeddedPostgres(tmp_path):
        pass


def test_an_unfinished_initdb_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path) as url:
        assert query(url, "SELECT 1") == 1


def test_valkey_forgets_everything(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    with server as url, redis.Redis.from_url(url) as client:
        client.set("kept", "no")
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.alive)
        server.restart()
        assert client.get("kept") is None
    assert not list((tmp_path / "valkey").iterdir())


def test_a_long_temporary_folder_is_not_used_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_folder = tmp_path / ("t" * 120)
    long_folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long_folder))
    with EmbeddedPostgres(tmp_path) as url:
        assert query(url, "SELECT 1") == 1
        assert (tmp_path / "postgres.socket").readlink().name.startswith(SOCKET_DIRECTORY_PREFIX)
    assert not list(long_folder.iterdir())
