"""HTTP calls that are spread over the nodes: each goes to the next one, and so does the next try of one that failed."""

from collections.abc import Sequence
from itertools import cycle
from math import ceil
from types import TracebackType
from typing import Any, Self

from gameserver.client.http import HttpClient
from gameserver.client.limits import HttpLimits


class HttpPool:
    """`connections` are those to all nodes together. Raises what HttpClient raises."""

    def __init__(self, urls: Sequence[str], connections: int, deadline_ms: int) -> None:
        limits = HttpLimits(connections=ceil(connections / len(urls)), deadline_ms=deadline_ms)
        self._clients = [HttpClient(url, limits) for url in urls]
        self._next = cycle(self._clients)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.__aexit__(kind, error, trace)

    async def request(self, method: str, path: str, body: Any, *, token: str | None, key: str) -> Any:
        return await next(self._next).request(method, path, body, token=token, key=key)
