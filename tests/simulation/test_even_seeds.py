"""Half of the seeds that every change has to stand; the other half has a file of its own, for another processor."""

from tests.simulation.run import prove


def test_no_promise_is_broken_by_250_seeds_that_take_every_way_of_failing_and_recovering():
    prove(range(0, 500, 2))
