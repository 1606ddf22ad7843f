"""The last events of the battles that are followed here, in memory, for those who come back to them.

Who lost a connection has missed a few events of a battle that somebody else here watches, or watched a moment ago. So a
thousand players who come back at once cost a read of the journal per battle at most, and none per player.

A battle's events stand here without a hole: what does not follow the last one begins anew. All battles share one bound
in bytes; beyond it the one in which nothing has happened for longest is forgotten, and the journal is there for it.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from attrs import Factory, define


@define(eq=False)
class _Tail:
    last_seq: int
    octets: int = 0
    lines: deque[bytes] = Factory(deque)

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.lines) + 1

    def append(self, lines: Sequence[bytes], limit: int) -> None:
        self.lines.extend(lines)
        self.last_seq += len(lines)
        self.octets += sum(map(len, lines))
        while len(self.lines) > limit:
            self.octets -= len(self.lines.popleft())


class Recent:
    """`limit`: so many events of each battle."""

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._tails: dict[str, _Tail] = {}
        """In the order in which something has happened in them."""
        self.octets = 0

    def __len__(self) -> int:
        return len(self._tails)

    def begin(self, battle_id: str, seq: int) -> None:
        """From now on all is noted that comes after this event."""
        self._tails.setdefault(battle_id, _Tail(seq))

    def note(self, battle_id: str, first_seq: int, lines: Sequence[bytes]) -> None:
        """What has happened; what of it is known already counts for nothing."""
        tail = self._take(battle_id)
        if tail is None or first_seq > tail.last_seq + 1:
            tail = _Tail(first_seq - 1)
        news = lines[tail.last_seq + 1 - first_seq :]
        if news:
            tail.append(news, self._limit)
        self._tails[battle_id] = tail
        self.octets += tail.octets
        while self.octets > self._limit_bytes:
            self.forget(next(iter(self._tails)))

    def note_earlier(self, battle_id: str, first_seq: int, lines: Sequence[bytes]) -> None:
        """What had happened, as the journal says: before that which is known, as far as there is no hole between."""
        known = self._take(battle_id)
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
        self._take(battle_id)

    def _take(self, battle_id: str) -> _Tail | None:
        tail = self._tails.pop(battle_id, None)
        if tail is not None:
            self.octets -= tail.octets
        return tail
