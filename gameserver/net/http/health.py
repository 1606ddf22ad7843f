"""For whoever watches the node: does it live, and should it get players?"""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from attrs import frozen

from gameserver.net.http.context import Readiness
from gameserver.net.http.route import Call, Reply, Route


@frozen
class Alive:
    alive: Literal[True] = True


@frozen
class Ready:
    """`reasons` say why not, when not."""

    ready: bool
    reasons: Sequence[str]


class Probed(Protocol):
    @property
    def readiness(self) -> Readiness: ...


async def livez(context: Probed, call: Call) -> Alive:  # noqa: ARG001 - that it answers at all is the answer
    return Alive()


async def readyz(context: Probed, call: Call) -> Ready | Reply:  # noqa: ARG001
    reasons = context.readiness()
    return Reply(503, Ready(ready=False, reasons=reasons)) if reasons else Ready(ready=True, reasons=())


ROUTES: Final = (
    Route("GET", "/livez", livez, "Whether the process answers", Alive, access="probe"),
    Route("GET", "/readyz", readyz, "Whether the node takes players; 503 if not", Ready, access="probe"),
)
