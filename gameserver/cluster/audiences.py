"""Everybody who hears of commits, one after the other."""

from collections.abc import Iterator

import structlog
from attrs import frozen

from gameserver.actors.ports import Audience, Committed

log = structlog.get_logger()


@frozen
class Audiences:
    all: tuple[Audience, ...]
    """Those that are done at once come first."""

    def begin(self) -> None:
        for audience in self.all:
            audience.begin()

    def committed(self, batch: Committed) -> Iterator[None]:
        for audience in self.all:
            try:
                yield from audience.committed(batch)
            except Exception:  # it must not raise; if it does, the others still hear
                log.exception("audience.failed", audience=type(audience).__name__, actor=batch.actor_id)

    def flush(self) -> Iterator[None]:
        for audience in self.all:
            yield from audience.flush()
