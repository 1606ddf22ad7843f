"""Where a node meets the world: public HTTP, WebSocket and admin API, those of them that its roles ask for."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import trio

from gameserver.cluster.creation import Creation
from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.ids import PlayerId
from gameserver.net.admin.context import AdminContext
from gameserver.net.admin.operations import admin_app
from gameserver.net.edge import EdgeCounters
from gameserver.net.handshake import Admission, Opening, admit
from gameserver.net.http.app import Gate
from gameserver.net.http.context import HttpContext
from gameserver.net.http.public import public_app
from gameserver.net.secrets import admin_token, signing_key
from gameserver.net.serving import HttpCounters, serve
from gameserver.net.tokens import Tokens
from gameserver.net.transports import TRANSPORTS
from gameserver.node import Cache, Cluster, Core, Node, Stats, Storage
from gameserver.protocol.connection import Connection
from gameserver.protocol.session import Identified, Session


@contextlib.asynccontextmanager
async def open_edges(
    settings: Settings, storage: Storage, cache: Cache, cluster: Cluster, core: Core
) -> AsyncIterator[Node]:
    """At the end they take nobody new, and everybody connected is told to come back."""
    stop, counters = trio.Event(), EdgeCounters()
    http, gate = HttpCounters(), Gate(settings.http.requests_limit)
    tokens = Tokens(signing_key(settings), settings.auth.token_ttl_s, settings.auth.verified_limit)
    roles, myself = settings.node.roles, cluster.myself
    websocket_port = http_port = 0

    def readiness() -> list[str]:
        return _why_not_ready(stop, settings, storage, cluster, core)

    def admit_player(opening: Opening) -> Admission:
        if myself.leaving:
            raise Refused("node_stopping")
        return admit(opening, settings.http.allowed_origins, tokens.verify_once)

    async with trio.open_nursery() as nursery:
        if "websocket" in roles:
            serve_websocket = TRANSPORTS[settings.websocket.edge]
            websocket_port = await nursery.start(
                serve_websocket, settings.websocket, admit_player, partial(_open_session, settings, core), counters
            )
            myself.websocket_url = _url("ws", settings.websocket.public_url, settings.websocket.host, websocket_port)
        if "http" in roles:
            context = HttpContext(
                accounts=storage.accounts,
                lists=storage.lists,
                creation=Creation(
                    core.router, storage.facts, cache.rates, settings.guards, settings.actors, core.issuer
                ),
                lifecycle=core.lifecycle,
                router=core.router,
                leaderboards=cache.leaderboards,
                tokens=tokens,
                settings=settings,
                modes=core.kinds.modes,
                readiness=readiness,
                websocket_url=core.router.websocket_url,
                sessions=core.all_sessions,
            )
            app, address = public_app(context, gate), (settings.http.host, settings.http.port)
            serve_http = partial(serve, app, settings.http, *address)
            http_port = await nursery.start(partial(serve_http, http, stop=stop, setting="GAMESERVER_HTTP_PORT"))
            myself.http_url = _url("http", settings.http.public_url, settings.http.host, http_port)
        admin = AdminContext(
            stats=Stats(settings, storage, cache, cluster, core, counters, http, gate, tokens).read,
            nodes=cluster.read_nodes,
            drain=core.drain.ask,
            readiness=readiness,
            lists=storage.lists,
            router=core.router,
            let_back=storage.journal.let_back,
            sessions=core.all_sessions,
            settings=settings,
            token=admin_token(settings),
        )
        serve_admin = partial(serve, admin_app(admin), settings.http, settings.admin.host, settings.admin.port)
        admin_port: int = await nursery.start(
            partial(serve_admin, HttpCounters(), stop=stop, setting="GAMESERVER_ADMIN_PORT")
        )
        myself.admin_url = _url("http", "", settings.admin.host, admin_port)
        cluster.membership.look()
        yield Node(http_port, websocket_port, admin_port, storage, cache, cluster, core)
        stop.set()
        myself.http_url = myself.websocket_url = ""
        nursery.cancel_scope.cancel()


def _open_session(settings: Settings, core: Core, admission: Admission, connection: Connection) -> Session:
    instance = admission.instance or core.issuer.new_instance()
    identified = Identified(PlayerId(admission.player_id), admission.session_id, instance)
    return Session(identified, connection, core.gateway, core.sessions.outgoing, settings.websocket)


def _why_not_ready(stop: trio.Event, settings: Settings, storage: Storage, cluster: Cluster, core: Core) -> list[str]:
    skew_ms = storage.clock.skew_ms
    reasons = {
        "the node is stopping": stop.is_set() or cluster.myself.leaving,
        "the node holds no lease: PostgreSQL cannot be reached": not storage.keeper.held,
        f"this machine's clock is {skew_ms:+,} ms off PostgreSQL's": abs(skew_ms) > settings.node.clock_skew_limit_ms,
        "the node is overloaded": core.committer.overloaded,
        "the node's event loop is late all the time": core.pulse.late,
        "the nodes that own actors cannot be reached: Redis is away": (
            not cluster.links.available and not cluster.owners.has_actors_role
        ),
    }
    return [reason for reason, applies in reasons.items() if applies]


def _url(scheme: str, public_url: str, host: str, port: int) -> str:
    """How others reach what listens here."""
    reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - not bound here
    return public_url or f"{scheme}://{reachable}:{port}"
