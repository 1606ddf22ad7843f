"""What the simulated players saw: the whole evidence of one run, kept small.

Of an event only its seq and a checksum of its bytes are kept: eight bytes, for millions of events.
"""

from array import array
from zlib import crc32

from attrs import Factory, define, frozen


@define
class Stream:
    """The events of one battle that one player was sent, in the order of arrival.

    `restarts` are the spans (after, up to) that the server did not have any more for one who came back: it said so, and
    sent the state as of `up to` instead.
    """

    seqs: "array[int]" = Factory(lambda: array("I"))
    checksums: "array[int]" = Factory(lambda: array("I"))
    restarts: list[tuple[int, int]] = Factory(list)

    def take(self, seq: int, line: bytes) -> None:
        self.seqs.append(seq)
        self.checksums.append(crc32(line))

    @property
    def last_seq(self) -> int:
        return self.seqs[-1] if self.seqs else 0


@frozen
class Asked:
    """A command that one player gave, by the number under which it did so, to one battle."""

    instance: int
    number: int
    battle_id: str
    event: str


@define
class Seen:
    """All that one player saw. `acknowledged` has the seq that the server gave; `refused` changed nothing, it said.

    `streams` are what the player was handed. `out_of_step` counts what never shows in them: events that one connection
    brought again or left out, which the client library drops, or asks for.
    """

    streams: dict[str, Stream] = Factory(dict)
    acknowledged: list[tuple[Asked, int]] = Factory(list)
    refused: list[Asked] = Factory(list)
    highest: dict[int, int] = Factory(dict)
    """Instance → the highest number used under it."""
    out_of_step: int = 0

    def stream(self, battle_id: str) -> Stream:
        stream = self.streams.get(battle_id)
        if stream is None:  # asked for each event, so none is made in vain
            stream = self.streams[battle_id] = Stream()
        return stream


@define
class Recording:
    """Player ID → what that player saw; and the battles whose creation was acknowledged."""

    players: dict[str, Seen] = Factory(dict)
    battles: set[str] = Factory(set)
