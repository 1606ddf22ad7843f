"""The URLs under which the game may be reached: those that were given, and those that the server has named since."""

from collections.abc import Sequence
from typing import Final

LEARNED_LIMIT: Final = 8


class Addresses:
    """`current` is where to connect next; a URL that does not answer is followed by the next one, round and round."""

    def __init__(self, given: Sequence[str]) -> None:
        assert given, "at least one URL"
        self._given = tuple(dict.fromkeys(given))
        self._learned: list[str] = []
        self._all = list(self._given)
        self.current = self._given[0]

    def __len__(self) -> int:
        return len(self._all)

    def prefer(self, url: str) -> None:
        if url not in self._all:
            self._learned = [*self._learned, url][-LEARNED_LIMIT:]
            self._all = [*self._given, *self._learned]
        self.current = url

    def move_on(self) -> None:
        self.current = self.after(self.current)[0]

    def after(self, url: str) -> list[str]:
        """All of them, once around from the one behind `url`, which comes last."""
        place = self._all.index(url) + 1 if url in self._all else 0
        return self._all[place:] + self._all[:place]
