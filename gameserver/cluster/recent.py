"""The last events of the battles that are watched here, in memory, for those who come back to them.

Who lost a connection has missed a few events of a battle that somebody else here watches, or watched a moment ago. So a
thousand players who come back at once cost a read of the journal per battle at most, and none per player.

A battle's events stand here without a hole: what does not follow the last one begins anew.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from attrs import define


@define
class _Tail:
    last_seq: int
    lines: deque[bytes]

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.lines) + 1


class Recent:
    """`limit`: so many events of each battle."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tails: dict[str, _Tail] = {}

    def __len__(self) -> int:
        return len(self._tails)

    def begin(self, battle_id: str, seq: int) -> None:
        """From now on all is noted that comes after this event."""
        self._tails.setdefault(battle_id, self._tail(seq))

    def note(self, battle_id: str, first_seq: int, lines: Sequence[bytes]) -> None:
        """What has happened; what of it is known already counts for nothing."""
        tail = self._tails.get(battle_id)
        if tail is None or first_seq > tail.last_seq + 1:
            tail = self._tails[battle_id] = self._tail(first_seq - 1)
        new = lines[tail.last_seq + 1 - first_seq :]
        tail.lines.extend(new)
        tail.last_seq += len(new)

    def note_earlier(self, battle_id: str, first_seq: int, lines: Sequence[bytes]) -> None:
        """What had happened, as the journal says: before that which is known, as far as there is no hole between."""
        known = self._tails.pop(battle_id, None)
        self.note(battle_id, first_seq, lines)
        if known is not None:
            self.note(battle_id, known.first_seq, tuple(known.lines))

    def between(self, battle_id: str, after: int, up_to: int) -> list[bytes] | None:
        """The lines of the events above `after` and up to `up_to`; None if not all of them are here."""
        tail = self._tails.get(battle_id)
        if tail is None or after + 1 < tail.first_seq or up_to > tail.last_seq:
            return None
        return list(islice(tail.lines, after + 1 - tail.first_seq, up_to + 1 - tail.first_seq))

    def last_seq(self, battle_id: str) -> int | None:
        tail = self._tails.get(battle_id)
        return None if tail is None else tail.last_seq

    def forget(self, battle_id: str) -> None:
        self._tails.pop(battle_id, None)

    def _tail(self, last_seq: int) -> _Tail:
        return _Tail(last_seq, deque(maxlen=self._limit))
