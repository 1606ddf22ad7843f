"""Everybody who hears of commits, one after the other."""

import structlog
from attrs import frozen

from gameserver.actors.ports import Audience, Committed

log = structlog.get_logger()


@frozen
class Audiences:
    all: tuple[Audience, ...]

    def committed(self, batch: Committed) -> None:
        for audience in self.all:
            try:
                audience.committed(batch)
            except Exception:  # it must not raise; if it does, the others still hear
                log.exception("audience.failed", audience=type(audience).__name__, actor=batch.actor_id)

    def flush(self) -> None:
        for audience in self.all:
            audience.flush()
