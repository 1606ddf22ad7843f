"""Everybody who hears of commits, one after the other."""

from attrs import frozen

from gameserver.actors.ports import Audience, Committed


@frozen
class Audiences:
    all: tuple[Audience, ...]

    def committed(self, batch: Committed) -> None:
        for audience in self.all:
            audience.committed(batch)

    def flush(self) -> None:
        for audience in self.all:
            audience.flush()
