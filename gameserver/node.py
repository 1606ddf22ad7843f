"""The parts of a running node, and what operators get to see of them."""

from typing import Any

from attrs import asdict, frozen

from gameserver.actors.catalog import Catalog
from gameserver.actors.committer import Committer
from gameserver.actors.kinds import Kinds
from gameserver.cluster.all_sessions import AllSessions
from gameserver.cluster.announcements import Announcements
from gameserver.cluster.clock import CorrectedClock
from gameserver.cluster.consumers import Consumers
from gameserver.cluster.drain import Drain
from gameserver.cluster.gateway import NodeGateway
from gameserver.cluster.hand_over import HandOver
from gameserver.cluster.items import Goodbye
from gameserver.cluster.leaderboard_feed import LeaderboardFeed
from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.cluster.lifecycle import Lifecycle
from gameserver.cluster.links import Links
from gameserver.cluster.membership import Membership
from gameserver.cluster.myself import Myself
from gameserver.cluster.owners import Owners
from gameserver.cluster.requests import Requests
from gameserver.cluster.resumes import Resumes
from gameserver.cluster.router import Router
from gameserver.cluster.sessions import Sessions
from gameserver.cluster.watch_leases import WatchAnswers, WatchLeases
from gameserver.cluster.watch_renewals import WatchRenewals
from gameserver.cluster.watches import Watches
from gameserver.config import Settings
from gameserver.ids import Issuer
from gameserver.net.edge import EdgeCounters
from gameserver.net.http.app import Gate
from gameserver.net.serving import HttpCounters
from gameserver.net.tokens import Tokens
from gameserver.persistence.postgres_accounts import PostgresAccounts
from gameserver.persistence.postgres_facts import PostgresFacts
from gameserver.persistence.postgres_journal import PostgresJournal
from gameserver.persistence.postgres_leaderboards import PostgresLeaderboards
from gameserver.persistence.postgres_lists import PostgresLists
from gameserver.persistence.postgres_outbox import PostgresOutbox
from gameserver.persistence.postgres_retention import PostgresRetention
from gameserver.persistence.redis_bus import RedisBus
from gameserver.persistence.redis_directory import RedisDirectory
from gameserver.persistence.redis_leaderboards import RedisLeaderboards
from gameserver.persistence.redis_presence import RedisPresence
from gameserver.persistence.redis_rates import RedisRates
from gameserver.persistence.redis_store import RedisStore
from gameserver.pulse import Pulse


@frozen
class Storage:
    """Everything of PostgreSQL that the node uses, and its right to own actors there."""

    clock: CorrectedClock
    keeper: LeaseKeeper
    journal: PostgresJournal
    accounts: PostgresAccounts
    lists: PostgresLists
    facts: PostgresFacts
    outbox: PostgresOutbox
    retention: PostgresRetention
    leaderboards: PostgresLeaderboards


@frozen
class Cache:
    """Everything of Redis that the node uses; the game goes on without it."""

    store: RedisStore
    bus: RedisBus
    directory: RedisDirectory
    rates: RedisRates
    presence: RedisPresence
    leaderboards: RedisLeaderboards


@frozen
class Cluster:
    """The other nodes, and what is said between them."""

    myself: Myself
    membership: Membership
    links: Links
    owners: Owners
    requests: Requests
    watch_leases: WatchLeases

    async def leave(self) -> None:
        """Nothing is left here: nobody shall ask this node for anything."""
        await self.links.said()
        self.links.broadcast(Goodbye(self.membership.announced_incarnation))
        await self.links.said()
        await self.membership.leave()

    def read_nodes(self) -> dict[str, Any]:
        """The view of this node, for operators."""
        view = self.membership.view
        return {
            "view": view.version,
            "seen_by": self.myself.name,
            "nodes": [{**asdict(member.info), "status": member.status} for member in view.members.values()],
        }


@frozen
class Core:
    """The game itself, without its edges."""

    kinds: Kinds
    committer: Committer
    catalog: Catalog
    router: Router
    lifecycle: Lifecycle
    sessions: Sessions
    all_sessions: AllSessions
    watches: Watches
    watch_answers: WatchAnswers
    renewals: WatchRenewals
    resumes: Resumes
    gateway: NodeGateway
    announcements: Announcements
    consumers: Consumers
    feed: LeaderboardFeed
    hand_over: HandOver
    drain: Drain
    issuer: Issuer
    pulse: Pulse


@frozen
class Node:
    """A running node: where it listens (0: nowhere, it does not have the role), and what it consists of."""

    http_port: int
    websocket_port: int
    admin_port: int
    storage: Storage
    cache: Cache
    cluster: Cluster
    core: Core


@frozen
class Stats:
    """Every queue with its limit, and every counter since the start."""

    settings: Settings
    storage: Storage
    cache: Cache
    cluster: Cluster
    core: Core
    edge: EdgeCounters
    http: HttpCounters
    gate: Gate
    tokens: Tokens

    def read(self) -> dict[str, Any]:
        return {
            "node": {"name": self.settings.node.name, "holds_lease": self.storage.keeper.held},
            "event_loop": self._event_loop(),
            "cluster": self._cluster(),
            "actors": self._actors(),
            "commits": self._commits(),
            "http": self._http(),
            "websocket": self._websocket(),
            "consumers": self._consumers(),
            "redis": self._redis(),
        }

    def _event_loop(self) -> dict[str, Any]:
        pulse = self.core.pulse
        return {
            "lag_p99_ms": round(pulse.lag_p99_ms, 1),
            "lag_max_ms": round(pulse.lag_max_ms, 1),
            "lag_limit_ms": self.settings.node.lag_limit_ms,
        }

    def _cluster(self) -> dict[str, Any]:
        cluster, limits = self.cluster, self.settings.cluster
        return {
            "view": cluster.membership.view.version,
            "bus_available": cluster.links.available,
            "owners_learned": len(cluster.owners),
            "owners_limit": limits.owners_limit,
            "requests_waiting": len(cluster.requests),
            "requests_limit": limits.requests_limit,
            "items_waiting": cluster.links.waiting,
            "watch_leases": len(cluster.watch_leases),
            "links": asdict(cluster.links.counters),
            "requests": asdict(cluster.requests.counters),
        }

    def _actors(self) -> dict[str, Any]:
        catalog, limits = self.core.catalog, self.settings.actors
        waiting = [len(cell.mailbox.messages) for cell in catalog.cells()]
        return {
            "active": catalog.active,
            "active_limit": limits.active_limit,
            "messages_waiting": sum(waiting),
            "longest_mailbox": max(waiting, default=0),
            "mailbox_limit": limits.mailbox_limit,
            "lifecycle_waiting": self.core.lifecycle.waiting,
            **asdict(catalog.counters),
        }

    def _commits(self) -> dict[str, Any]:
        committer = self.core.committer
        return {
            "events_waiting": committer.events_waiting,
            "events_waiting_limit": self.settings.journal.pending_limit,
            **asdict(committer.counters),
        }

    def _http(self) -> dict[str, Any]:
        return {
            "at_work": self.gate.inside,
            "limit": self.gate.limit,
            "refused": self.gate.refused,
            "connections_limit": self.settings.http.connections_limit,
            "tokens_verified": self.tokens.verified,
            "tokens_verified_limit": self.settings.auth.verified_limit,
            **asdict(self.http),
        }

    def _websocket(self) -> dict[str, Any]:
        return {
            "sessions": len(self.core.sessions),
            "connections_limit": self.settings.websocket.connections_limit,
            "watches": len(self.core.watches),
            "resumes_waiting": len(self.core.resumes),
            "resumes_limit": self.settings.websocket.resumes_limit,
            "resumes_read": self.core.resumes.reads,
            "recent_battles": len(self.core.watches.recent),
            "recent_bytes": self.core.watches.recent.octets,
            "recent_bytes_limit": self.settings.websocket.recent_limit_bytes,
            **asdict(self.edge),
        }

    def _consumers(self) -> dict[str, Any]:
        consumers = self.core.consumers
        return {"retrying": consumers.retrying, "set_aside": consumers.set_aside, **asdict(consumers.counters)}

    def _redis(self) -> dict[str, Any]:
        store, presence = self.cache.store, self.cache.presence
        return {
            "available": store.available,
            "calls_failed": store.calls_failed,
            "calls_refused": store.calls_refused,
            "presence_waiting": presence.waiting,
            "presence_dropped": presence.dropped,
            "rates_counted_here": len(self.cache.rates.own),
            "leaderboards_answered_by_postgres": self.cache.leaderboards.answered_by_postgres,
        }
