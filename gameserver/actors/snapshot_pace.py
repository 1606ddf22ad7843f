"""How often an actor writes down its state: so rarely that this costs little beside its events, whatever its size.

Between two snapshots lie so many events at least, and also so many bytes of them, in sizes of the last one. A thousand
battles that began at once, and are played alike, do not all write their first at once.
"""

from zlib import crc32

from attrs import define

from gameserver.config import ActorSettings


@define
class SnapshotPace:
    """`seq` and `size_bytes` are those of the last snapshot; `tail_bytes` of events have been written since."""

    actor_id: str
    limits: ActorSettings
    seq: int
    size_bytes: int
    tail_bytes: int
    _next_seq: int = 0

    def __attrs_post_init__(self) -> None:
        events = self.limits.snapshot_every
        self._next_seq = self.seq + events - crc32(self.actor_id.encode()) % events // 2

    def due(self, seq: int) -> bool:
        return seq >= self._next_seq and self.tail_bytes >= self.limits.snapshot_tail * self.size_bytes

    def taken(self, seq: int, size_bytes: int) -> None:
        self.seq, self.size_bytes, self.tail_bytes = seq, size_bytes, 0
        self._next_seq = seq + self.limits.snapshot_every
