"""The composition root: the nursery tree of a node, and in which order things start and stop.

Starting, and stopping in the opposite order:

    bridge → PostgreSQL → lease → Redis: bus, membership → journal, committer, actors → HTTP, WebSocket, admin

A node that stops takes no new players first, then lets everything in flight land, hands its actors over, resigns its
lease, and says goodbye. Nothing that was acknowledged depends on any of this: a node may as well be killed.
"""

import contextlib
import gc
import resource
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Final

import structlog
import trio

from gameserver.actors.kinds import Kinds
from gameserver.actors.time_limit import enforced
from gameserver.assembly import make_cache, make_cluster, make_core, make_storage
from gameserver.cluster.clock import CorrectedClock
from gameserver.cluster.drain import Drain
from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.config import Settings
from gameserver.edges import open_edges
from gameserver.errors import JournalError, unwrapped
from gameserver.game.rules import Rules
from gameserver.logs import configure_logging
from gameserver.node import Cache, Cluster, Core, Node, Storage
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.postgres import open_postgres
from gameserver.persistence.postgres_journal import open_postgres_journal
from gameserver.persistence.postgres_leases import open_postgres_leases
from gameserver.persistence.postgres_retention import PostgresRetention
from gameserver.rule_files import load_rules

log = structlog.get_logger()

GOODBYE_DEADLINE_S: Final = 2.0

COLLECT_AFTER: Final = 20_000
"""New objects that are still alive before Python looks for garbage in cycles. Its own 700 would have it look several
times within each commit, in vain: what a command leaves behind goes as soon as it is delivered. At this number a look
takes about 2 ms."""


def run(settings: Settings, rules_path: Path | None) -> None:
    """Run a node until SIGINT or SIGTERM. Raises ConfigError, StartError."""
    configure_logging(settings.node)
    _allow_open_files()
    gc.freeze()  # what was imported stays
    gc.set_threshold(COLLECT_AFTER)
    with unwrapped(), enforced(settings.actors.rules_limit_ms):
        trio.run(partial(_run_until_signal, settings, load_rules(rules_path)))


def _allow_open_files() -> None:
    """As many as the system lets us have: each connection is one, and the usual 1,024 would be the first limit met."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run_until_signal(settings: Settings, rules: list[Rules]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_node(settings, rules) as node:
            log.info("node.ready", http=node.http_port, websocket=node.websocket_port, admin=node.admin_port)
            await _until_asked(signals, node.core.drain)
            await node.core.drain.run()
    log.info("node.stopped")


async def _until_asked(signals: AsyncIterator[int], drain: Drain) -> None:
    async def heed_signals() -> None:
        async for number in signals:
            log.info("node.stopping", signal=signal.Signals(number).name)
            drain.asked.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heed_signals)
        await drain.asked.wait()
        log.info("node.draining")
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def open_node(settings: Settings, rules: list[Rules]) -> AsyncIterator[Node]:
    """A node that is ready to play; stopped in order at the end. Raises ConfigError, StartError."""
    clock = CorrectedClock()
    # Without the role a lease protects nothing: what an earlier process of this name owned is free for the others.
    takes_actors = "actors" in settings.node.roles
    async with (
        open_bridge() as bridge,
        open_postgres(settings.postgres, settings.node.name, settings.node.start_deadline_ms) as postgres,
        open_postgres_leases(postgres, settings.node.lease_ms if takes_actors else 0) as leases,
        trio.open_nursery() as nursery,
    ):
        keeper = LeaseKeeper(leases, clock, settings.node)
        await nursery.start(keeper.run)
        async with open_postgres_journal(postgres, keeper.current) as journal:
            kinds = Kinds(rules, settings.guards)
            storage = make_storage(settings, postgres, keeper, journal, clock)
            cache = make_cache(settings, bridge, storage)
            cluster = make_cluster(settings, kinds, storage, cache)
            core = make_core(settings, kinds, storage, cache, cluster, SystemRandom())
            nursery.start_soon(core.pulse.run)
            await _start(nursery, settings, storage, cache, cluster, core)
            async with open_edges(settings, storage, cache, cluster, core) as node:
                yield node
            await _stop(settings, storage, cluster, core)
            nursery.cancel_scope.cancel()


async def _start(
    nursery: trio.Nursery, settings: Settings, storage: Storage, cache: Cache, cluster: Cluster, core: Core
) -> None:
    await nursery.start(cache.store.run)
    await nursery.start(cache.bus.run)
    await nursery.start(cluster.membership.run)
    for task in (
        cluster.links.run,
        cluster.requests.run,
        core.committer.run,
        core.lifecycle.run,
        core.sessions.run,
        core.renewals.run,
        core.resumes.run,
        core.announcements.run,
        core.consumers.run,
        core.feed.run,
        core.hand_over.run,
        cache.presence.run,
        cache.leaderboards.run,
        partial(_prune, storage.retention, settings),
    ):
        nursery.start_soon(task)
    await nursery.start(core.catalog.run)


async def _stop(settings: Settings, storage: Storage, cluster: Cluster, core: Core) -> None:
    """Let everything in flight land, and hand the actors over; what is not done in time, the lease's end will do."""
    await core.drain.give_actors_away()
    with trio.move_on_after(settings.node.stop_deadline_ms / 2 / 1_000) as scope:
        await core.catalog.stop()
    if scope.cancelled_caught:
        log.warning("node.stop_deadline", actors=core.catalog.active)
    with trio.move_on_after(GOODBYE_DEADLINE_S):
        await cluster.leave()
    with trio.move_on_after(GOODBYE_DEADLINE_S), contextlib.suppress(JournalError):
        await storage.keeper.resign()


async def _prune(retention: PostgresRetention, settings: Settings) -> None:
    while True:
        await trio.sleep(settings.journal.retention_interval_ms / 1_000)
        try:
            rows = await retention.prune(settings.journal.retention_days, settings.commands.idempotency_days)
        except JournalError as error:
            log.warning("retention.failed", error=str(error))
        else:
            log.info("retention.pruned", rows=rows)
