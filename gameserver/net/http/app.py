"""A table of routes as a Quart app: what all requests go through, in this order.

    origin ─► route ─► token ─► IDs, query, body ─► a place among the requests at work ─► handler ─► JSON
                     └──────────────── within the request's deadline ────────────────┘

A body is read before the request takes its place: a client that sends slowly holds nobody else up. Whatever is raised
on the way becomes a problem in `problems.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import trio
from quart import Response, request
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection

from gameserver.codec import encode, unstructure
from gameserver.config import HttpSettings
from gameserver.errors import Refused
from gameserver.ids import is_uuid
from gameserver.net.http.bodies import read_body, read_query
from gameserver.net.http.cors import Cors
from gameserver.net.http.idempotency import hash_of, read_key
from gameserver.net.http.problems import answer_error
from gameserver.net.http.route import Call, Reply, Route
from gameserver.net.tokens import Claims, bearer

Authenticate = Callable[[str | None], Claims | None]
"""Gets the bearer token. Raises Refused when it opens nothing; None if it speaks for no player (an operator)."""

OVERLOADED_RETRY_AFTER_MS: Final = 1_000
NO_STORE: Final = {"Cache-Control": "no-store"}


class Gate:
    """Bounds the requests at work. `inside` and `refused` are there to be watched."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self.refused = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises Refused("overloaded")."""
        if self.inside >= self.limit:
            self.refused += 1
            raise Refused("overloaded", retry_after_ms=OVERLOADED_RETRY_AFTER_MS)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


def create_app(
    routes: Sequence[Route], context: Any, authenticate: Authenticate, settings: HttpSettings, gate: Gate
) -> QuartTrio:
    """Every handler gets `context`, whatever that is for these routes."""
    app = QuartTrio(__name__, static_folder=None)
    app.asgi_http_class = _InOneTask
    app.config["MAX_CONTENT_LENGTH"] = settings.body_limit_bytes
    app.config["BODY_TIMEOUT"] = None  # the request's deadline covers its body
    app.url_map.strict_slashes = True
    cors = Cors(settings.allowed_origins)
    app.before_request(cors.preflight)
    app.after_request(cors.mark)
    app.register_error_handler(Exception, answer_error)
    for route in routes:
        view = _View(route, context, authenticate, settings, gate)
        path = route.path.replace("{", "<").replace("}", ">")
        app.add_url_rule(path, endpoint=route.name, view_func=view.answer, methods=[route.method])
    return app


class _InOneTask(TrioASGIHTTPConnection):
    """A request that is here in whole is answered by the task that took it. quart_trio's own way takes two more for
    each, one of them to wait for the body; only who still has to wait for it goes that way."""

    async def __call__(self, receive: Any, send: Any) -> None:
        request = self._create_request_from_scope(send)
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        request.body.append(first["body"])
        if first["more_body"]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.handle_messages, nursery, request, receive)
                nursery.start_soon(self.handle_request, nursery, request, send)
        else:
            request.body.set_complete()
            await self._send_response(send, await self.app.handle_request(request))


class _View:
    """One route, from Quart's request to Quart's response."""

    def __init__(
        self, route: Route, context: Any, authenticate: Authenticate, settings: HttpSettings, gate: Gate
    ) -> None:
        self._route, self._context, self._authenticate = route, context, authenticate
        self._deadline_s, self._gate = settings.request_deadline_ms / 1_000, gate

    async def answer(self, **ids: str) -> Response:
        with trio.move_on_after(self._deadline_s):
            return self._response(await self._handle(ids))
        raise Refused("deadline_exceeded")

    async def _handle(self, ids: Mapping[str, str]) -> Any:
        route = self._route
        claims = self._authenticate(bearer(request.headers.get("Authorization"))) if route.access == "token" else None
        call = await self._call(claims, ids)
        if route.access == "probe":
            return await route.handle(self._context, call)
        with self._gate.place():
            return await route.handle(self._context, call)

    async def _call(self, claims: Claims | None, ids: Mapping[str, str]) -> Call:
        """Raises Refused for whatever is wrong with the request."""
        route = self._route
        if not all(is_uuid(each) for name, each in ids.items() if name.endswith("_id")):
            raise Refused("not_uuid")
        query: Any = read_query(request.args, route.query)
        body = await _body(route) if route.unsafe else None
        return Call(
            claims=claims,
            ids=ids,
            query=query,
            body=body,
            idempotency_key=read_key(request.headers.get("Idempotency-Key")) if route.unsafe else None,
            request_hash=hash_of(request.method, request.path, body),
        )

    def _response(self, answered: Any) -> Response:
        reply = answered if isinstance(answered, Reply) else Reply(self._route.status, answered)
        if reply.body is None:
            return Response("", 204, headers=NO_STORE)
        body = encode(unstructure(reply.body))
        return Response(body, reply.status, headers=NO_STORE, content_type="application/json")


async def _body(route: Route) -> Any:
    return read_body(await request.body, request.mimetype, route.body)
