"""Who knows whom in a node: its parts, made from its settings. Nothing runs yet (see main.py)."""

from functools import partial
from random import Random

from gameserver.actors.catalog import Catalog
from gameserver.actors.committer import Committer
from gameserver.actors.kinds import Kinds
from gameserver.cluster.all_sessions import AllSessions
from gameserver.cluster.announcements import Announcements
from gameserver.cluster.audiences import Audiences
from gameserver.cluster.clock import CorrectedClock
from gameserver.cluster.consumers import Consumers
from gameserver.cluster.drain import Drain
from gameserver.cluster.gateway import NodeGateway
from gameserver.cluster.hand_over import HandOver
from gameserver.cluster.items import Goodbye, Look
from gameserver.cluster.leaderboard_feed import LeaderboardFeed
from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.cluster.lifecycle import Lifecycle
from gameserver.cluster.lifecycle_channels import LifecycleChannels
from gameserver.cluster.links import Links
from gameserver.cluster.membership import Membership
from gameserver.cluster.myself import Myself
from gameserver.cluster.outbox_place import OutboxPlace
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
from gameserver.net.secrets import signing_key
from gameserver.node import Cache, Cluster, Core, Storage
from gameserver.persistence.bridge import Bridge
from gameserver.persistence.postgres import Postgres
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
from gameserver.signs_of_life import give_sign


def make_storage(
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


def make_cache(settings: Settings, bridge: Bridge, storage: Storage) -> Cache:
    board, store = settings.leaderboard, RedisStore(bridge, settings.redis)
    return Cache(
        store=store,
        bus=RedisBus(bridge, store, settings.redis),
        directory=RedisDirectory(store, settings.cluster),
        rates=RedisRates(store, settings.redis),
        presence=RedisPresence(store, settings.node.name, board.presence_ttl_ms, settings.websocket.connections_limit),
        leaderboards=RedisLeaderboards(store, storage.leaderboards, storage.clock, board),
    )


def make_cluster(settings: Settings, kinds: Kinds, storage: Storage, cache: Cache) -> Cluster:
    """What knows of other nodes, and of nothing else."""
    name, limits = settings.node.name, settings.cluster
    myself = Myself(name, settings.node.roles, kinds.rules, storage.keeper)
    membership = Membership(cache.directory, myself.describe, limits)
    links = Links(cache.bus, name, signing_key(settings), storage.clock, limits)
    owners = Owners(name, membership, limits)
    requests = Requests(name, links, owners, storage.clock, limits)
    links.on(Look, lambda _sender, _look: membership.look())
    links.on(Goodbye, lambda sender, goodbye: membership.farewell(sender, goodbye.incarnation))
    storage.keeper.on_lost(membership.look)
    membership.on_change(requests.fail_dead)
    membership.on_announced(partial(links.broadcast, Look()))
    links.on_lost(requests.fail_all)
    cache.bus.on_change(requests.bus_changed)
    return Cluster(myself, membership, links, owners, requests, WatchLeases(name, links, limits))


def make_core(settings: Settings, kinds: Kinds, storage: Storage, cache: Cache, cluster: Cluster, dice: Random) -> Core:
    journal, clock = storage.journal, storage.clock
    links, owners = cluster.links, cluster.owners
    issuer = Issuer(clock.now_ms, dice)
    sessions = Sessions(cache.presence, issuer)
    watches = Watches(sessions, settings.websocket)
    channels = LifecycleChannels(links, watches)
    audiences = Audiences((cluster.watch_leases, watches, channels))
    committer = Committer(journal, audiences, settings.journal, settings.postgres)
    catalog = Catalog(journal, committer, kinds, clock, settings.actors, settings.commands)
    storage.keeper.on_lost(catalog.drop_all)
    router = Router(kinds, catalog, owners, cluster.requests, links, cluster.watch_leases, settings.actors)
    lifecycle = Lifecycle(router, storage.facts, cache.rates, settings.guards, settings.actors, issuer)
    resumes = Resumes(journal, watches, router.send, settings)
    feed = LeaderboardFeed(cache.leaderboards, sessions, settings.leaderboard)
    announcements = Announcements(sessions, storage.facts, cache.leaderboards, links, settings.cluster)
    by_topic = {
        "battle:created": [announcements.battle_created],
        "battle:finished": [announcements.battle_finished],
    }
    outbox_place = OutboxPlace(owners, links)
    consumers = Consumers(storage.outbox, by_topic, settings.journal, outbox_place.is_here)
    outbox_place.on_filled(consumers.wake)
    committer.delivery.on_news(partial(outbox_place.tell, consumers.wake))
    hand_over = HandOver(catalog, cluster.membership, owners, cluster.requests, settings.cluster)
    return Core(
        kinds=kinds,
        committer=committer,
        catalog=catalog,
        router=router,
        lifecycle=lifecycle,
        sessions=sessions,
        all_sessions=AllSessions(sessions, links),
        watches=watches,
        watch_answers=WatchAnswers(catalog, cluster.watch_leases, links),
        renewals=WatchRenewals(watches, catalog, owners, links, storage.facts, settings.cluster),
        resumes=resumes,
        gateway=NodeGateway(settings, router, lifecycle, sessions, watches, resumes, feed, clock),
        announcements=announcements,
        consumers=consumers,
        feed=feed,
        hand_over=hand_over,
        drain=Drain(cluster.myself, cluster.membership, links, router, sessions, hand_over, settings.node, dice),
        issuer=issuer,
        pulse=Pulse(settings.node, give_sign),
    )
