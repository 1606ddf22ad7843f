"""Everybody who hears of commits, one after the other."""

from collections.abc import Iterable, Iterator

import structlog
from attrs import frozen

from gameserver.actors.ports import Audience, Committed
from gameserver.turns import Walk

log = structlog.get_logger()


@frozen
class Audiences:
    all: tuple[Audience, ...]
    """Those that are done at once come first."""

    def begin(self) -> None:
        for audience in self.all:
            audience.begin()

    def committed(self, batch: Committed) -> Walk:
        """Who is done at once has heard when this returns."""
        walks: list[tuple[Audience, Walk]] = []
        for audience in self.all:
            try:
                walk = audience.committed(batch)
            except Exception:  # it must not raise; if it does, the others still hear
                log.exception("audience.failed", audience=type(audience).__name__, actor=batch.actor_id)
            else:
                if walk:
                    walks.append((audience, walk))
        return _one_after_the_other(walks, batch) if walks else ()

    def flush(self) -> Iterator[None]:
        for audience in self.all:
            yield from audience.flush()


def _one_after_the_other(walks: Iterable[tuple[Audience, Walk]], batch: Committed) -> Iterator[None]:
    for audience, walk in walks:
        try:
            yield from walk
        except Exception:
            log.exception("audience.failed", audience=type(audience).__name__, actor=batch.actor_id)
