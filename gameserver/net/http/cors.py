"""Which web pages may call us: those of the allowed origins, and our own.

Programs that are not browsers send no Origin, and are none of CORS' business: the token proves who calls.

Quart calls both hooks with each request, and what is not `async` it would call on a thread: two hops for nothing.
"""

from typing import Final

from attrs import frozen
from quart import Response, request

from gameserver.errors import Refused

PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "600",
}


@frozen
class Cors:
    """`allowed` are origins like https://game.example; "*" allows any."""

    allowed: tuple[str, ...]

    async def preflight(self) -> Response | None:
        """The answer, if the request is a browser's question. Raises Refused("origin_not_allowed"), for any request."""
        origin = request.headers.get("Origin")
        if origin is not None and not (self.allows(origin) or origin == request.host_url.rstrip("/")):
            raise Refused("origin_not_allowed")
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return Response("", 204, headers=PREFLIGHT)
        return None

    async def mark(self, response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is not None and self.allows(origin):
            response.headers["Access-Control-Allow-Origin"] = "*" if "*" in self.allowed else origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        if self.allowed and "*" not in self.allowed:
            response.headers.add("Vary", "Origin")
        return response

    def allows(self, origin: str) -> bool:
        return "*" in self.allowed or origin in self.allowed
