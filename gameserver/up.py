"""`gameserver up`: the whole game on one machine, in the foreground.

    embedded PostgreSQL and Valkey (unless their URLs are set) → migrations → nodes → banner

It watches its children until SIGINT or SIGTERM, and then stops them in the opposite order. Each signal handler raises
once, and only once: a second Ctrl-C must not tear a clean stop apart, which has its deadlines anyway.

Blocking code on purpose: nothing here is in the way of a message.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import frozen

import gameserver
from gameserver.banner import banner
from gameserver.config import Settings
from gameserver.errors import StartError
from gameserver.file_watch import FileWatch
from gameserver.node_process import EXIT_CANNOT_START, NodeProcess, numbered
from gameserver.persistence.embedded_postgres import EmbeddedPostgres
from gameserver.persistence.embedded_valkey import EmbeddedValkey

WATCH_INTERVAL_S: Final = 0.25
STOP_SLACK_S: Final = 10.0
"""Nodes keep their own deadline when they stop, and then say goodbye; this is beyond both."""


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived. Like KeyboardInterrupt, nothing that handles errors may swallow it."""


@frozen
class Servers:
    """Where the databases are, and those of them that are ours to keep alive."""

    postgres_url: str
    redis_url: str
    embedded: Mapping[str, EmbeddedPostgres | EmbeddedValkey]

    def tend(self) -> None:
        """Starts again what died; its data and its URL stay the same."""
        for name, server in self.embedded.items():
            if not server.alive:
                _say(f"{name} has ended unexpectedly; starting it again")
                server.restart()


def run(settings: Settings, rules: Path | None = None, *, count: int, reload: bool = False) -> int:
    """Returns the exit code once everything has stopped. Raises StartError if something cannot start."""
    watch = FileWatch([rules] if rules else [], [Path(gameserver.__file__).parent]) if reload else None
    with _stop_signals():
        try:
            with _servers(settings) as servers, _nodes(settings, rules, servers, count) as nodes:
                _watch(settings, servers, nodes, watch)
        except Stopped:
            _say("Stopped.")
    return 0


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Turns the first SIGINT, SIGTERM or SIGHUP into Stopped, and ignores the rest."""
    stop_signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for each in stop_signals:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    before = {each: signal.signal(each, stop) for each in stop_signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def _servers(settings: Settings) -> Iterator[Servers]:
    from gameserver.persistence.migrations import migrate

    folder, deadline_s = settings.node.data_dir, settings.node.start_deadline_ms / 1_000
    postgres_url, redis_url = settings.postgres.url, settings.redis.url
    embedded: dict[str, EmbeddedPostgres | EmbeddedValkey] = {}
    with contextlib.ExitStack() as stack:
        if not postgres_url:
            _say("Starting PostgreSQL …" if (folder / "postgres").exists() else "Making a new database …")
            embedded["PostgreSQL"] = postgres = EmbeddedPostgres(folder, deadline_s=deadline_s)
            postgres_url = stack.enter_context(postgres)
        if not redis_url:
            embedded["Valkey"] = valkey = EmbeddedValkey(folder, deadline_s=deadline_s)
            redis_url = stack.enter_context(valkey)
        for name in migrate(postgres_url):
            _say(f"Migration applied: {name}")
        yield Servers(postgres_url, redis_url, embedded)


@contextlib.contextmanager
def _nodes(settings: Settings, rules: Path | None, servers: Servers, count: int) -> Iterator[list[NodeProcess]]:
    """So many nodes, started. At the end all are asked to stop, share one deadline, and are killed when it is over."""
    environment = {**os.environ, "DATABASE_URL": servers.postgres_url, "REDIS_URL": servers.redis_url}
    for ours in ("GAMESERVER_POSTGRES_URL", "GAMESERVER_REDIS_URL"):  # they would win over the two above
        environment.pop(ours, None)
    nodes = [NodeProcess(numbered(settings, number), rules, environment) for number in range(count)]
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        _stop(nodes, settings.node.stop_deadline_ms / 1_000 + STOP_SLACK_S)


def _stop(nodes: list[NodeProcess], deadline_s: float) -> None:
    _say("Stopping …")
    give_up_at = time.monotonic() + deadline_s
    for node in nodes:
        node.ask_to_stop()
    for node in nodes:
        if not node.wait_stopped(max(0.0, give_up_at - time.monotonic())):
            _say(f"{node.name} did not stop within {deadline_s:g} s and was killed")


def _watch(settings: Settings, servers: Servers, nodes: list[NodeProcess], watch: FileWatch | None) -> None:
    """Runs until Stopped: keeps everything alive, and greets once every node is ready."""
    greeted, hung = False, set[NodeProcess]()
    while True:
        servers.tend()
        hung = _kill_hung(nodes, known=hung)
        _restart_ended(nodes, can_wait_for_edit=watch is not None, was_ready=greeted)
        if watch is not None and (changed := watch.changed()):
            _say(f"{changed.name} changed; starting again")
            _stop(nodes, settings.node.stop_deadline_ms / 1_000 + STOP_SLACK_S)
            for node in nodes:
                node.start()
        if not greeted and all(node.is_ready() for node in nodes):
            _say(banner([node.settings for node in nodes], embedded=bool(servers.embedded)))
            greeted = True
        time.sleep(WATCH_INTERVAL_S)


def _kill_hung(nodes: list[NodeProcess], known: set[NodeProcess]) -> set[NodeProcess]:
    """Rules may hang in C code, which nothing interrupts. By then the node's lease has run out.

    Returns those that hang, to be `known` at the next look: a killed process is there until the kernel has ended it.
    """
    hung = {node for node in nodes if node.is_silent(looks=round(_hang_limit_s(node) / WATCH_INTERVAL_S))}
    for node in hung - known:
        _say(f"{node.name} hangs: no sign of life for {_hang_limit_s(node):g} s; killing it")
        node.kill()
    return hung


def _hang_limit_s(node: NodeProcess) -> float:
    return node.settings.node.hang_limit_ms / 1_000


def _restart_ended(nodes: list[NodeProcess], *, can_wait_for_edit: bool, was_ready: bool) -> None:
    for node in nodes:
        code = node.ended()
        if code == EXIT_CANNOT_START and not can_wait_for_edit and not was_ready:
            raise StartError(f"{node.name} could not start; its message stands above")
        if code is not None:
            _say(f"{node.name} {_how_it_ended(code)}; starting it again in {node.restart_in_s:.1f} s")
        if not node.running and node.restart_in_s == 0:
            node.start()


def _how_it_ended(code: int) -> str:
    if code == 0:
        return "has left"  # it was drained
    return f"has ended unexpectedly ({f'signal {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'})"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
