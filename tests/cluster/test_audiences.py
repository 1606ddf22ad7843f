"""All audiences hear of a commit, whatever becomes of one of them."""

import pytest

from gameserver.actors.ports import Committed
from gameserver.cluster.audiences import Audiences
from gameserver.turns import at_once

BATCH = Committed("battle-1", "battle", 1, 1, (b"one",))


class Listener:
    """Hears at once, or in a walk of two steps."""

    def __init__(self, *, walks: bool) -> None:
        self.heard = 0
        self._walks = walks

    def begin(self):
        pass

    def committed(self, _):
        if self._walks:
            return self._walk()
        self.heard += 1
        return ()

    def _walk(self):
        yield
        self.heard += 1
        yield

    def flush(self):
        return ()


class FailingAtOnce(Listener):
    def committed(self, _):
        raise ValueError("at once")


class FailingOnTheWay(Listener):
    def _walk(self):
        yield
        raise ValueError("on the way")


@pytest.mark.parametrize("failing", [FailingAtOnce, FailingOnTheWay])
@pytest.mark.parametrize("walks", [False, True])
def test_an_audience_that_fails_keeps_no_other_from_hearing(failing, walks):
    first, last = Listener(walks=walks), Listener(walks=walks)
    at_once(Audiences((first, failing(walks=True), last)).committed(BATCH))
    assert (first.heard, last.heard) == (1, 1)


def test_who_is_done_at_once_has_heard_before_the_walk_of_the_others():
    first, last = Listener(walks=False), Listener(walks=True)
    walk = Audiences((first, last)).committed(BATCH)
    assert (first.heard, last.heard) == (1, 0)
    at_once(walk)
    assert last.heard == 1
