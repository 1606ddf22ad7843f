"""A node in a thread of its own, so that a test can stop the world around it without stopping its own clients."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self

import trio
from attrs import evolve

from gameserver.config import Settings
from gameserver.game.rules import Rules
from gameserver.main import open_node
from gameserver.node import Node
from gameserver.rule_files import load_rules

START_DEADLINE_S = 30
STOP_DEADLINE_S = 30

QUICK: dict[str, dict[str, Any]] = {
    "node": {"lease_ms": 3_000, "lease_renew_ms": 300, "stop_deadline_ms": 10_000},
    "http": {"port": 0},
    "websocket": {"port": 0, "close_deadline_ms": 500, "handshake_deadline_ms": 1_000},
    "admin": {"port": 0, "token": "an operator's token for tests"},
    "actors": {"sweep_interval_ms": 50, "wake_interval_ms": 50, "restart_backoff_ms": 10, "intention_retry_ms": 200},
    "journal": {"outbox_interval_ms": 100, "outbox_backoff_ms": 20},
    "cluster": {
        "beat_interval_ms": 50,
        "node_ttl_ms": 1_000,
        "watch_renew_ms": 100,
        "watch_lease_ms": 1_000,
        "settle_ms": 300,
    },
    "leaderboard": {"push_interval_ms": 100, "reconcile_interval_ms": 500},
    "redis": {"probe_interval_ms": 100},
}
"""Free ports, and short intervals where a test would otherwise wait. What the game itself allows is left as it is."""


def settings_with(**sections: dict[str, Any]) -> Settings:
    """The quick settings, changed by section."""
    plain = Settings()
    names = QUICK.keys() | sections.keys()
    changed = {
        name: evolve(getattr(plain, name), **{**QUICK.get(name, {}), **sections.get(name, {})}) for name in names
    }
    return evolve(plain, **changed)


class NodeThread:
    """`with NodeThread(settings) as running:`; `running.node` is for reading only, `call` goes over to its thread."""

    def __init__(self, settings: Settings, rules: Sequence[Rules] = ()) -> None:
        self.settings = settings
        self._rules = [*load_rules(None), *rules]
        self._thread = threading.Thread(target=self._run, name=settings.node.name, daemon=True)
        self._started: queue.SimpleQueue[Node | BaseException] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self.node: Node

    def __enter__(self) -> Self:
        self._thread.start()
        node = self._started.get(timeout=START_DEADLINE_S)
        if isinstance(node, BaseException):
            raise node
        self.node = node
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop.set)
        self._thread.join(STOP_DEADLINE_S)
        assert not self._thread.is_alive(), "the node did not stop"
        if self._failure is not None:
            raise self._failure

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a function that the node's own thread has run."""
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                result.set_exception(error)

        self._token.run_sync_soon(run)
        return result.result(START_DEADLINE_S)

    def _run(self) -> None:
        try:
            trio.run(self._live)
        except BaseException as error:  # noqa: BLE001 - raised where the test sees it
            self._failure = error
            self._started.put(error)

    async def _live(self) -> None:
        self._token, self._stop = trio.lowlevel.current_trio_token(), trio.Event()
        async with open_node(self.settings, self._rules) as node:
            self._started.put(node)
            await self._stop.wait()
