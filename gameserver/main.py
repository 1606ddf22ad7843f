"""The composition root: what a node consists of, who knows whom, and in which order things start and stop.

Starting, and stopping in the opposite order:

    bridge → PostgreSQL → lease → journal, committer, actors → Redis and consumers → sessions → HTTP, WebSocket, admin

A node that stops takes no new players first, then lets everything in flight land, hands its actors back, and resigns
its lease. Nothing that was acknowledged depends on any of this: a node may as well be killed.
"""

import contextlib
import resource
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import structlog
import trio

from gameserver.actors.catalog import Catalog
from gameserver.actors.committer import Committer
from gameserver.actors.kinds import Kinds
from gameserver.cluster.announcements import Announcements
from gameserver.cluster.consumers import Consumers
from gameserver.cluster.creation import Creation
from gameserver.cluster.gateway import NodeGateway
from gameserver.cluster.leaderboard_feed import LeaderboardFeed
from gameserver.cluster.lease_keeper import CorrectedClock, LeaseKeeper
from gameserver.cluster.lifecycle import Lifecycle
from gameserver.cluster.router import Router
from gameserver.cluster.sessions import Sessions
from gameserver.cluster.watches import Watches
from gameserver.config import Settings
from gameserver.errors import JournalError
from gameserver.game.rules import Rules
from gameserver.ids import PlayerId, new_instance
from gameserver.logs import configure_logging
from gameserver.net.admin.context import AdminContext
from gameserver.net.admin.operations import admin_app
from gameserver.net.frame_stream import EdgeCounters
from gameserver.net.handshake import Admission, Opening, admit
from gameserver.net.http.app import Gate
from gameserver.net.http.context import HttpContext
from gameserver.net.http.public import public_app
from gameserver.net.secrets import admin_token, signing_key
from gameserver.net.serving import serve
from gameserver.net.tokens import Tokens
from gameserver.net.trio_websocket_edge import serve_websocket
from gameserver.node import Cache, Core, Node, Stats, Storage
from gameserver.persistence.bridge import open_bridge
from gameserver.persistence.postgres import Postgres, open_postgres
from gameserver.persistence.postgres_accounts import PostgresAccounts
from gameserver.persistence.postgres_facts import PostgresFacts
from gameserver.persistence.postgres_journal import PostgresJournal, open_postgres_journal
from gameserver.persistence.postgres_leaderboards import PostgresLeaderboards
from gameserver.persistence.postgres_leases import open_postgres_leases
from gameserver.persistence.postgres_lists import PostgresLists
from gameserver.persistence.postgres_outbox import PostgresOutbox
from gameserver.persistence.postgres_retention import PostgresRetention
from gameserver.persistence.redis_leaderboards import RedisLeaderboards
from gameserver.persistence.redis_presence import RedisPresence
from gameserver.persistence.redis_rates import RedisRates
from gameserver.persistence.redis_store import RedisStore
from gameserver.protocol.connection import Connection
from gameserver.protocol.session import Identified, Session
from gameserver.rule_files import load_rules

log = structlog.get_logger()


def run(settings: Settings, rules_path: Path | None) -> None:
    """Run a node until SIGINT or SIGTERM. Raises ConfigError, StartError."""
    configure_logging(settings.node)
    _allow_open_files()
    try:
        trio.run(partial(_run_until_signal, settings, load_rules(rules_path)))
    except BaseExceptionGroup as group:
        raise _alone(group) from None


def _allow_open_files() -> None:
    """As many as the system lets us have: each connection is one, and the usual 1,024 would be the first limit met."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _alone(group: BaseException) -> BaseException:
    """What lies in groups of one, one in the other; nurseries wrap even the error that kept the node from starting."""
    error = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _run_until_signal(settings: Settings, rules: list[Rules]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_node(settings, rules) as node:
            log.info("node.ready", http=node.http_port, websocket=node.websocket_port, admin=node.admin_port)
            async for number in signals:
                log.info("node.stopping", signal=signal.Signals(number).name)
                break
    log.info("node.stopped")


@contextlib.asynccontextmanager
async def open_node(settings: Settings, rules: list[Rules]) -> AsyncIterator[Node]:
    """A node that is ready to play; stopped in order at the end. Raises ConfigError, StartError."""
    clock = CorrectedClock()
    async with (
        open_bridge() as bridge,
        open_postgres(bridge, settings.postgres, settings.node.name, settings.node.start_deadline_ms) as postgres,
        open_postgres_leases(postgres, settings.node.lease_ms) as leases,
        trio.open_nursery() as nursery,
    ):
        keeper = LeaseKeeper(leases, clock, settings.node)
        await nursery.start(keeper.run)
        async with open_postgres_journal(postgres, keeper.current) as journal:
            storage = _storage(settings, postgres, keeper, journal, clock)
            cache = _cache(settings, RedisStore(bridge, settings.redis), storage)
            core = _core(settings, Kinds(rules, settings.guards), storage, cache)
            await _start(nursery, settings, storage, cache, core)
            async with _open_edges(settings, storage, cache, core) as node:
                yield node
            await _stop(settings, storage, core)
            nursery.cancel_scope.cancel()


# -- parts --------------------------------------------------------------------------------------------------------


def _storage(
    settings: Settings, postgres: Postgres, keeper: LeaseKeeper, journal: PostgresJournal, clock: CorrectedClock
) -> Storage:
    return Storage(
        clock=clock,
        keeper=keeper,
        journal=journal,
        accounts=PostgresAccounts(postgres, settings.auth),
        lists=PostgresLists(postgres),
        facts=PostgresFacts(postgres),
        outbox=PostgresOutbox(postgres),
        retention=PostgresRetention(postgres),
        leaderboards=PostgresLeaderboards(postgres),
    )


def _cache(settings: Settings, store: RedisStore, storage: Storage) -> Cache:
    board = settings.leaderboard
    return Cache(
        store=store,
        rates=RedisRates(store, settings.redis),
        presence=RedisPresence(store, settings.node.name, board.presence_ttl_ms, settings.websocket.connections_limit),
        leaderboards=RedisLeaderboards(store, storage.leaderboards, storage.clock, board),
    )


def _core(settings: Settings, kinds: Kinds, storage: Storage, cache: Cache) -> Core:
    journal, clock = storage.journal, storage.clock
    sessions = Sessions(cache.presence)
    watches = Watches(sessions, settings.websocket)
    committer = Committer(journal, watches, settings.journal, settings.postgres)
    catalog = Catalog(journal, committer, kinds, clock, settings.actors, settings.commands)
    storage.keeper.on_lost(catalog.drop_all)
    router = Router(catalog)
    lifecycle = Lifecycle(router, storage.facts, cache.rates, settings.guards, settings.actors)
    feed = LeaderboardFeed(cache.leaderboards, sessions, settings.leaderboard)
    announcements = Announcements(sessions, storage.facts, cache.leaderboards)
    by_topic = {
        "battle:created": [announcements.battle_created],
        "battle:finished": [announcements.battle_finished],
    }
    consumers = Consumers(storage.outbox, by_topic, settings.journal)
    committer.on_news(consumers.wake)
    gateway = NodeGateway(settings, router, lifecycle, sessions, watches, feed, journal, clock)
    return Core(kinds, committer, catalog, router, lifecycle, sessions, watches, gateway, consumers, feed)


async def _start(nursery: trio.Nursery, settings: Settings, storage: Storage, cache: Cache, core: Core) -> None:
    await nursery.start(cache.store.run)
    for task in (
        core.committer.run,
        core.lifecycle.run,
        core.sessions.run,
        core.gateway.run,
        core.consumers.run,
        core.feed.run,
        cache.presence.run,
        cache.leaderboards.run,
        partial(_prune, storage.retention, settings),
    ):
        nursery.start_soon(task)
    await nursery.start(core.catalog.run)


async def _stop(settings: Settings, storage: Storage, core: Core) -> None:
    """Let everything in flight land, and hand the actors back; what is not done in time, the lease's end will do."""
    with trio.move_on_after(settings.node.stop_deadline_ms / 1_000) as scope:
        await core.catalog.stop()
        await storage.keeper.resign()
    if scope.cancelled_caught:
        log.warning("node.stop_deadline", actors=core.catalog.active)


async def _prune(retention: PostgresRetention, settings: Settings) -> None:
    while True:
        await trio.sleep(settings.journal.retention_interval_ms / 1_000)
        try:
            rows = await retention.prune(settings.journal.retention_days, settings.commands.idempotency_days)
        except JournalError as error:
            log.warning("retention.failed", error=str(error))
        else:
            log.info("retention.pruned", rows=rows)


# -- edges --------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _open_edges(settings: Settings, storage: Storage, cache: Cache, core: Core) -> AsyncIterator[Node]:
    """HTTP, WebSocket and admin. At the end they take nobody new, and everybody connected is told to come back."""
    stop, counters, gate = trio.Event(), EdgeCounters(), Gate(settings.http.requests_limit)
    tokens = Tokens(signing_key(settings), settings.auth.token_ttl_s)

    def websocket_url(_battle_id: str) -> str:  # one node owns them all
        return url

    def readiness() -> list[str]:
        return _why_not_ready(stop, storage, core)

    def admit_player(opening: Opening) -> Admission:
        return admit(opening, settings.http.allowed_origins, tokens.verify)

    async with trio.open_nursery() as nursery:
        websocket_port: int = await nursery.start(
            serve_websocket, settings.websocket, admit_player, partial(_open_session, settings, core), counters
        )
        url = settings.websocket.public_url or f"ws://{_host(settings.websocket.host)}:{websocket_port}"
        context = HttpContext(
            accounts=storage.accounts,
            lists=storage.lists,
            creation=Creation(core.router, storage.facts, cache.rates, settings.guards, settings.actors),
            lifecycle=core.lifecycle,
            router=core.router,
            leaderboards=cache.leaderboards,
            tokens=tokens,
            settings=settings,
            modes=core.kinds.modes,
            readiness=readiness,
            websocket_url=websocket_url,
            sessions=core.sessions,
        )
        admin = AdminContext(
            stats=Stats(settings, storage, cache, core, counters, gate).read,
            lists=storage.lists,
            router=core.router,
            let_back=storage.journal.let_back,
            sessions=core.sessions,
            settings=settings,
            token=admin_token(settings),
        )
        serve_http = partial(serve, public_app(context, gate), settings.http.host, settings.http.port)
        http_port: int = await nursery.start(partial(serve_http, stop=stop, setting="GAMESERVER_HTTP_PORT"))
        serve_admin = partial(serve, admin_app(admin), settings.admin.host, settings.admin.port)
        admin_port: int = await nursery.start(partial(serve_admin, stop=stop, setting="GAMESERVER_ADMIN_PORT"))
        yield Node(http_port, websocket_port, admin_port, storage, cache, core)
        stop.set()
        nursery.cancel_scope.cancel()


def _open_session(settings: Settings, core: Core, admission: Admission, connection: Connection) -> Session:
    instance = admission.instance or new_instance()
    identified = Identified(PlayerId(admission.player_id), admission.session_id, instance)
    return Session(identified, connection, core.gateway, core.sessions.outgoing, settings.websocket)


def _why_not_ready(stop: trio.Event, storage: Storage, core: Core) -> list[str]:
    reasons = {
        "the node is stopping": stop.is_set(),
        "the node holds no lease: PostgreSQL cannot be reached": not storage.keeper.held,
        "the node is overloaded": core.committer.overloaded,
    }
    return [reason for reason, applies in reasons.items() if applies]


def _host(address: str) -> str:
    """An address to connect to, for one to listen on."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(address, address)  # noqa: S104 - not bound here
