"""OTP's rule: more than `intensity` crashes within `period`, and that is enough."""

from hypothesis import given
from hypothesis import strategies as st

from gameserver.actors.restarts import Restarts
from gameserver.config import ActorSettings

LIMITS = ActorSettings(
    restart_intensity=3, restart_period_ms=10_000, restart_backoff_ms=100, restart_backoff_max_ms=300
)


def test_pauses_double_up_to_the_longest_and_then_it_is_enough():
    restarts = Restarts(LIMITS)
    assert [restarts.crashed("a", now) for now in (0, 1, 2, 3)] == [0.1, 0.2, 0.3, None]


def test_after_it_was_let_back_it_starts_anew():
    restarts = Restarts(LIMITS)
    assert [restarts.crashed("a", 0) for _ in range(5)][3:] == [None, 0.1]


def test_actors_count_apart():
    restarts = Restarts(LIMITS)
    assert [restarts.crashed(actor, 0) for actor in "abcabc"] == [0.1] * 3 + [0.2] * 3


@given(st.lists(st.floats(0, 30), max_size=30))
def test_it_is_enough_exactly_when_too_many_crashes_lie_within_the_period(pauses):
    restarts, recent, now = Restarts(LIMITS), [], 0.0
    for pause in pauses:
        now += pause
        recent = [at for at in recent if at >= now - 10] + [now]
        enough = restarts.crashed("a", now) is None
        assert enough == (len(recent) > 3)
        if enough:
            recent = []


def test_what_is_long_past_is_forgotten():
    restarts = Restarts(LIMITS)
    for number in range(100):
        restarts.crashed(str(number), number)
    assert len(restarts._crashes) <= 12
