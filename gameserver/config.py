"""Every setting of a node, with its unit: one frozen object, read once from the environment.

A setting's environment name is `GAMESERVER_`, its section and its name: `settings.http.port` is
`GAMESERVER_HTTP_PORT`. Names that the world knows already (`DATABASE_URL`, `REDIS_URL`, `PORT`) are aliases.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from attrs import Attribute, AttrsInstance, field, fields, frozen

from gameserver.codec import structure
from gameserver.errors import ConfigError
from gameserver.game.guards import Guards
from gameserver.setting import setting

PREFIX: Final = "GAMESERVER_"
LARGEST_PORT: Final = 65_535
LARGEST_NUMBER: Final = 2**40
ROLES: Final = frozenset({"http", "websocket", "actors"})


@frozen
class NodeSettings:
    env: str = setting(
        "development",
        "development|production",
        "In production a missing secret refuses to start",
        alias="GAMESERVER_ENV",
    )
    name: str = setting(
        "",
        "text",
        "Name of this node, unique in the cluster; empty: the host's; `up` adds -0, -1, … to it, or to `node`",
    )
    data_dir: Path = setting(Path(".gameserver"), "path", "Where the embedded servers and the development key live")
    log_format: str = setting("console", "console|json", "How log lines look")
    log_level: str = setting("info", "debug|info|warning|error", "The least level that is logged")
    roles: tuple[str, ...] = setting(
        ("http", "websocket", "actors"), "roles, by comma", "What this node does: any of http, websocket, actors"
    )
    lease_ms: int = setting(2_000, "ms", "How long a node may own actors after its last renewal", least=500)
    lease_renew_ms: int = setting(500, "ms", "How often the lease is renewed", least=100)
    clock_skew_limit_ms: int = setting(
        1_000, "ms", "A machine whose clock differs by more from PostgreSQL's is not ready", least=1
    )
    lag_limit_ms: int = setting(
        500, "ms", "A node whose event loop is later than this all the time is not ready", least=1
    )
    lag_patience_ms: int = setting(
        3_000, "ms", "How long the event loop may stay later than the limit before the node is not ready", least=1
    )
    hang_limit_ms: int = setting(
        10_000, "ms", "After so long without a sign of life `up` kills a node and starts it again", least=1_000
    )
    stop_deadline_ms: int = setting(20_000, "ms", "How long an orderly stop may take", least=100)
    drain_spread_ms: int = setting(1_500, "ms", "Over how long the clients of a drained node are told to leave")
    drain_grace_ms: int = setting(5_000, "ms", "How long they may take; then they are closed", least=1)
    start_deadline_ms: int = setting(30_000, "ms", "How long the servers may take to come up", least=100)


@frozen
class PostgresSettings:
    url: str = setting("", "URL", "PostgreSQL 15 or later; empty: embedded", alias="DATABASE_URL", secret=True)
    pool_size: int = setting(6, "connections", "Connections for accounts, lists, facts and the outbox", least=1)
    journal_pool_size: int = setting(
        4, "connections", "Connections that bring actors to life, and release them", least=1
    )
    connect_deadline_ms: int = setting(2_000, "ms", "How long one may wait for a connection", least=1)
    query_deadline_ms: int = setting(5_000, "ms", "How long a query may take", least=1)
    commit_deadline_ms: int = setting(2_500, "ms", "After this a commit's outcome counts as unknown", least=1)
    # Shorter than the lease, so that a renewal whose answer is lost can be tried again in time.
    lease_deadline_ms: int = setting(1_000, "ms", "How long a renewal of the lease may take", least=1)
    # What the server does about a node that fell silent; case by case in persistence/postgres_limits.py: paused for
    # long, its machine gone or not reading its answers, its process killed.
    idle_limit_ms: int = setting(10_000, "ms", "A connection that nobody uses ends within this", least=2)
    silence_limit_ms: int = setting(2_000, "ms", "A connection ends when its other end is silent for so long", least=1)
    client_check_interval_ms: int = setting(
        500, "ms", "How often PostgreSQL looks whether the client of a waiting statement is still there", least=1
    )


@frozen
class RedisSettings:
    url: str = setting("", "URL", "Redis 7 or Valkey; empty: embedded", alias="REDIS_URL", secret=True)
    call_deadline_ms: int = setting(1_000, "ms", "How long a call may take before Redis counts as away", least=1)
    key_prefix: str = setting("gameserver:", "text", "In front of every key, and of the nodes' own channels")
    connections_limit: int = setting(8, "connections", "Connections of this node to Redis", least=1)
    probe_interval_ms: int = setting(1_000, "ms", "How often Redis is looked at, also while it is away", least=1)
    own_rates_limit: int = setting(20_000, "windows", "Rate windows of the node while Redis is away", least=1)


@frozen
class ActorSettings:
    mailbox_limit: int = setting(4_096, "messages", "Messages waiting for one actor; beyond it: overloaded", least=1)
    active_limit: int = setting(50_000, "actors", "Actors in memory; beyond it: overloaded", least=1)
    command_deadline_ms: int = setting(5_000, "ms", "A command not run by then is refused", least=1)
    idle_ms: int = setting(60_000, "ms", "An actor without messages for this long leaves memory", least=1)
    sweep_interval_ms: int = setting(1_000, "ms", "How often idle actors are looked for", least=1)
    wake_interval_ms: int = setting(250, "ms", "How often actors are looked for that nobody here would wake", least=1)
    wake_patience_ms: int = setting(5_000, "ms", "An actor overdue for longer may be woken by any node", least=1)
    wake_batch: int = setting(500, "actors", "Actors to be woken that are read at a time", least=1)
    wakes_limit: int = setting(
        8, "actors", "Actors woken at the same time; the rest of activations_limit is for play", least=1
    )
    snapshot_every: int = setting(500, "events", "Events between two snapshots, at least", least=1)
    snapshot_tail: int = setting(
        4, "sizes", "Between two snapshots, bytes of events of at least so many times the size of the last", least=0
    )
    restart_intensity: int = setting(3, "crashes", "More crashes than this within the period set an actor aside")
    restart_period_ms: int = setting(10_000, "ms", "The period of the restart intensity", least=1)
    restart_backoff_ms: int = setting(100, "ms", "Pause before the first restart; doubles with each", least=1)
    restart_backoff_max_ms: int = setting(2_000, "ms", "Longest pause before a restart", least=1)
    activations_limit: int = setting(16, "activations", "Activations that read the journal at the same time", least=1)
    intention_retry_ms: int = setting(5_000, "ms", "An unacknowledged intention is sent again after this", least=1)
    rules_limit_ms: int = setting(
        250,
        "ms",
        "Rules that think for longer are interrupted: a command is refused, a broken state restored",
        least=10,
    )


@frozen
class ClusterSettings:
    beat_interval_ms: int = setting(500, "ms", "How often a node announces itself and looks for the others", least=10)
    node_ttl_ms: int = setting(2_000, "ms", "A node that was silent for this long counts as dead", least=20)
    forget_ms: int = setting(600_000, "ms", "A dead node is listed for this long", least=20)
    owner_memory_ms: int = setting(10_000, "ms", "How long a learned owner is believed without hearing of it", least=1)
    owners_limit: int = setting(100_000, "actors", "Learned owners; beyond it the oldest is forgotten", least=1)
    requests_limit: int = setting(
        20_000, "requests", "Unanswered requests to other nodes; beyond it: overloaded", least=1
    )
    request_limit_ms: int = setting(10_000, "ms", "What another node asks waits no longer than this here", least=1)
    link_limit: int = setting(20_000, "items", "What waits to be sent to one node; beyond it, it is dropped", least=1)
    heard_limit: int = setting(
        100_000, "items", "What other nodes have said, and waits to be heard; beyond it, it is dropped", least=1
    )
    packet_limit_bytes: int = setting(1_000_000, "bytes", "A message between two nodes is closed beyond this", least=1)
    packet_age_limit_ms: int = setting(30_000, "ms", "What was said longer ago between nodes does not count", least=1)
    watch_renew_ms: int = setting(1_000, "ms", "How often a node renews its watches of other nodes' battles", least=10)
    watch_lease_ms: int = setting(3_500, "ms", "A watch that was not renewed for this long ends", least=20)
    announcements_limit: int = setting(1_000, "battles", "New battles of which members here wait to be told", least=1)
    settle_ms: int = setting(
        2_000, "ms", "A view must stand still for this long before actors are handed over", least=1
    )
    hand_over_limit: int = setting(8, "actors", "Actors on their way to another node at the same time", least=1)
    hand_over_pause_ms: int = setting(5, "ms", "Pause after each hand-over, so that play goes on beside them")


@frozen
class JournalSettings:
    pending_limit: int = setting(20_000, "events", "Events waiting for a commit; beyond it: overloaded", least=1)
    batch_limit: int = setting(5_000, "events", "Events in one commit", least=1)
    history_limit: int = setting(10_000, "events", "Events that one resume reads; older ones: a snapshot", least=1)
    retention_days: int = setting(30, "days", "How long events of finished battles are kept", least=1)
    retention_interval_ms: int = setting(3_600_000, "ms", "How often events beyond the retention are deleted", least=1)
    outbox_batch: int = setting(500, "rows", "Outbox rows taken at a time", least=1)
    outbox_interval_ms: int = setting(1_000, "ms", "How often the outbox is looked at without being told", least=1)
    outbox_deadline_ms: int = setting(5_000, "ms", "How long one consumer may take for one outbox row", least=1)
    outbox_attempts: int = setting(8, "attempts", "Failed attempts after which an outbox row is set aside", least=1)
    outbox_backoff_ms: int = setting(200, "ms", "Pause before a row's second attempt; doubles with each", least=1)
    outbox_backoff_max_ms: int = setting(30_000, "ms", "Longest pause before an outbox row's next attempt", least=1)
    outbox_set_aside_limit: int = setting(1_000, "rows", "Rows set aside; beyond it the oldest is dropped", least=1)


@frozen
class CommandSettings:
    instances_per_player: int = setting(4, "instances", "Instances of one player that an actor remembers", least=1)
    window: int = setting(64, "commands", "Command IDs remembered per player and instance", least=1)
    keys_per_actor: int = setting(256, "keys", "Idempotency-Keys that an actor remembers itself", least=1)
    idempotency_days: int = setting(7, "days", "How long an Idempotency-Key is remembered", least=1)


@frozen
class AuthSettings:
    signing_key: str = setting("", "text", "Signs tokens; empty: made on first start in development", secret=True)
    token_ttl_s: int = setting(3_600, "s", "How long a token is valid", least=1)
    refresh_token_ttl_s: int = setting(2_592_000, "s", "How long a refresh token is valid", least=1)
    verified_limit: int = setting(10_000, "tokens", "Tokens whose signature is known to be good", least=1)


@frozen
class HttpSettings:
    host: str = setting("127.0.0.1", "address", "Where the public HTTP API listens")
    port: int = setting(8_000, "port", "Port of the public HTTP API; 0: any", alias="PORT")
    public_url: str = setting("", "URL", "How clients reach the HTTP API; empty: from host and port")
    allowed_origins: tuple[str, ...] = setting((), "origins, by comma", "Browsers' origins that may connect; *: any")
    body_limit_bytes: int = setting(65_536, "bytes", "Largest request body", least=1)
    request_deadline_ms: int = setting(10_000, "ms", "How long one request may take", least=1)
    page_limit: int = setting(100, "rows", "Longest page of a list", least=1)
    requests_limit: int = setting(500, "requests", "Requests worked on at the same time", least=1)
    connections_limit: int = setting(
        4_096, "connections", "Connections of one port; beyond it new ones are closed at once", least=1
    )
    head_limit_bytes: int = setting(16_384, "bytes", "Longest request line and headers", least=256)
    idle_deadline_ms: int = setting(
        15_000, "ms", "A connection whose next request has not come by then, headers and all, is closed", least=1
    )
    send_deadline_ms: int = setting(10_000, "ms", "How long a client may take to take its answer", least=1)


@frozen
class WebSocketSettings:
    edge: str = setting(
        "hub" if sys.platform == "linux" else "trio-websocket",
        "hub|trio-websocket",
        "Which transport carries the connections; the hub needs Linux",
        alias="GAMESERVER_EDGE",
    )
    io_uring: str = setting(
        "auto", "auto|off", "Whether many sends go to the kernel at once; auto: if it has io_uring, and lets us use it"
    )
    host: str = setting("127.0.0.1", "address", "Where the WebSocket edge listens")
    port: int = setting(8_100, "port", "Port of the WebSocket edge; 0: any")
    public_url: str = setting(
        "", "URL", "How clients reach the WebSocket edge, {battle}: the battle's ID; empty: from host and port"
    )
    connections_limit: int = setting(15_000, "connections", "Connections of this node", least=1)
    handshake_deadline_ms: int = setting(5_000, "ms", "How long a handshake may take", least=1)
    message_limit_bytes: int = setting(65_536, "bytes", "Largest message from a client", least=1)
    outgoing_limit_bytes: int = setting(1_048_576, "bytes", "What may wait for one slow client", least=1)
    congestion_bytes: int = setting(
        65_536, "bytes", "While more than this waits for a client, its battles' events are held back", least=1
    )
    slow_consumer_deadline_ms: int = setting(
        10_000, "ms", "A client for whom something waits, and who takes nothing for this long, is closed", least=1
    )
    ping_interval_ms: int = setting(20_000, "ms", "How often a silent connection is pinged", least=1)
    idle_deadline_ms: int = setting(60_000, "ms", "A connection that is silent for this long is closed", least=1)
    close_deadline_ms: int = setting(2_000, "ms", "How long the closing handshake may take", least=1)
    messages_per_second: int = setting(20, "messages/s", "What one connection may send in the long run; 0: no limit")
    messages_burst: int = setting(60, "messages", "What one connection may send at once", least=1)
    in_flight_limit: int = setting(64, "commands", "Unanswered commands of one connection", least=1)
    watches_limit: int = setting(32, "battles", "Battles that one connection watches", least=1)
    resuming_limit: int = setting(8, "battles", "Battles that are read for resumes at the same time", least=1)
    resumes_limit: int = setting(10_000, "resumes", "Resumes that wait or are read; beyond it: overloaded", least=1)
    recent_limit: int = setting(
        256, "events", "Events of a battle that is followed, kept in memory for those who come back", least=1
    )
    recent_limit_bytes: int = setting(
        67_108_864, "bytes", "All events so kept; beyond it a battle's are forgotten", least=1
    )
    follow_ms: int = setting(10_000, "ms", "How long a battle is followed that nobody here watches any more", least=1)
    followed_limit: int = setting(
        5_000, "battles", "Battles that are followed so; beyond it the first of them is let go", least=1
    )
    collapse_events: int = setting(
        1_000, "events", "Who did not keep up and has missed more of a battle gets its present state instead", least=1
    )


@frozen
class AdminSettings:
    host: str = setting("127.0.0.1", "address", "Where the admin API listens")
    port: int = setting(8_200, "port", "Port of the admin API; 0: any")
    token: str = setting("", "text", "Bearer token of the admin API; empty: made on first start", secret=True)


@frozen
class LeaderboardSettings:
    window_ms: int = setting(86_400_000, "ms", "The sliding window of the leaderboard", least=1)
    top: int = setting(10, "groups", "Places that are pushed to every connection", least=1)
    push_interval_ms: int = setting(1_000, "ms", "The leaderboard is pushed at most once in this time", least=1)
    presence_ttl_ms: int = setting(60_000, "ms", "Presence in Redis is forgotten after this", least=1)
    reconcile_interval_ms: int = setting(15_000, "ms", "How often Redis is compared with PostgreSQL", least=1)


@frozen
class Settings:
    node: NodeSettings = field(factory=NodeSettings)
    postgres: PostgresSettings = field(factory=PostgresSettings)
    redis: RedisSettings = field(factory=RedisSettings)
    actors: ActorSettings = field(factory=ActorSettings)
    cluster: ClusterSettings = field(factory=ClusterSettings)
    journal: JournalSettings = field(factory=JournalSettings)
    commands: CommandSettings = field(factory=CommandSettings)
    guards: Guards = field(factory=Guards)
    auth: AuthSettings = field(factory=AuthSettings)
    http: HttpSettings = field(factory=HttpSettings)
    websocket: WebSocketSettings = field(factory=WebSocketSettings)
    admin: AdminSettings = field(factory=AdminSettings)
    leaderboard: LeaderboardSettings = field(factory=LeaderboardSettings)


@frozen
class Described:
    """One setting as `gameserver config` shows it."""

    environment_name: str
    unit: str
    meaning: str
    default: str
    value: str


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment.

    Raises ConfigError for a value that does not fit and for a name under our prefix that is no setting.
    """
    known: set[str | None] = set()
    data: dict[str, dict[str, object]] = {}
    for section, attribute in _all_settings():
        name, alias = _environment_name(section, attribute), attribute.metadata["alias"]
        known.update((name, alias))
        used = next((each for each in (name, alias) if each and each in environment), None)
        if used is not None:
            data.setdefault(section, {})[attribute.name] = _parse(used, environment[used], attribute)
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ConfigError(f"{unknown[0]} is no setting; `gameserver config` lists them all")
    return _consistent(structure(data, Settings))


def describe(settings: Settings) -> Iterator[Described]:
    for section, attribute in _all_settings():
        value, meta = getattr(getattr(settings, section), attribute.name), attribute.metadata
        name = _environment_name(section, attribute) + (f" or {meta['alias']}" if meta["alias"] else "")
        shown = "(hidden)" if meta["secret"] and value else _show(value)
        yield Described(name, meta["unit"], meta["meaning"], _show(attribute.default), shown)


def _all_settings() -> Iterator[tuple[str, "Attribute[Any]"]]:
    for section in fields(Settings):
        for attribute in fields(cast("type[AttrsInstance]", section.type)):
            yield section.name, attribute


def _environment_name(section: str, attribute: "Attribute[Any]") -> str:
    return f"{PREFIX}{section}_{attribute.name}".upper()


def _parse(name: str, text: str, attribute: "Attribute[Any]") -> object:
    """The text of a variable as the converter takes it. Raises ConfigError."""
    if isinstance(attribute.default, int):
        return _parse_number(name, text, attribute)
    if isinstance(attribute.default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    choices = attribute.metadata["unit"].split("|")
    if len(choices) > 1 and text not in choices:
        raise ConfigError(f"{name}={text!r}: expected one of {', '.join(choices)}")
    return text


def _parse_number(name: str, text: str, attribute: "Attribute[Any]") -> int:
    unit, least = attribute.metadata["unit"], attribute.metadata["least"]
    most = LARGEST_PORT if unit == "port" else LARGEST_NUMBER
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        raise ConfigError(f"{name}={text!r}: expected a whole number from {least} to {most} ({unit})")
    return int(text)


def _consistent(settings: Settings) -> Settings:
    node = settings.node
    if node.lease_ms < 2 * node.lease_renew_ms:
        raise ConfigError(
            f"GAMESERVER_NODE_LEASE_MS={node.lease_ms}: expected at least twice GAMESERVER_NODE_LEASE_RENEW_MS, "
            "so that one renewal may fail"
        )
    if settings.postgres.lease_deadline_ms >= node.lease_ms:
        raise ConfigError(
            f"GAMESERVER_POSTGRES_LEASE_DEADLINE_MS={settings.postgres.lease_deadline_ms}: expected less than "
            f"GAMESERVER_NODE_LEASE_MS={node.lease_ms}, so that a lost renewal can be tried again in time"
        )
    if settings.websocket.edge == "hub" and sys.platform != "linux":
        raise ConfigError("GAMESERVER_EDGE=hub: the hub needs Linux; expected trio-websocket")
    unknown_roles = set(node.roles) - ROLES
    if unknown_roles or not node.roles:
        raise ConfigError(f"GAMESERVER_NODE_ROLES={','.join(node.roles)}: expected some of {', '.join(sorted(ROLES))}")
    if settings.cluster.node_ttl_ms < 2 * settings.cluster.beat_interval_ms:
        raise ConfigError("GAMESERVER_CLUSTER_NODE_TTL_MS: expected at least twice GAMESERVER_CLUSTER_BEAT_INTERVAL_MS")
    if settings.cluster.watch_lease_ms < 2 * settings.cluster.watch_renew_ms:
        raise ConfigError(
            "GAMESERVER_CLUSTER_WATCH_LEASE_MS: expected at least twice GAMESERVER_CLUSTER_WATCH_RENEW_MS"
        )
    return settings


def _show(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
