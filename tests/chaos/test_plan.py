"""What goes wrong is drawn from a seed."""

from itertools import islice

from loadtest.chaos.plan import FAULTS, ON_ONE_NODE, Strike, rounds

TTL_S = 2.0
NODES = 3


def strikes(seed: int, count: int = 20) -> list[Strike]:
    return [strike for each in islice(rounds(seed, list(FAULTS), NODES, TTL_S), count) for strike in each]


def test_the_same_seed_draws_the_same_faults_and_another_one_others() -> None:
    assert strikes(7) == strikes(7)
    assert strikes(7) != strikes(8)


def test_each_round_has_every_fault_once() -> None:
    for each in islice(rounds(1, list(FAULTS), NODES, TTL_S), 5):
        assert sorted(strike.fault for strike in each) == sorted(FAULTS)


def test_every_node_and_both_links_get_their_share() -> None:
    drawn = [strike for strike in strikes(1) if strike.fault in ON_ONE_NODE]
    assert {strike.node for strike in drawn} == set(range(NODES))
    assert {strike.title for strike in drawn if strike.fault == "cut"} == {
        "link of a node cut: postgres",
        "link of a node cut: valkey",
    }


def test_who_shall_count_as_dead_is_away_for_longer_than_the_ttl_and_who_shall_not_is_started_at_once() -> None:
    for strike in strikes(1):
        if strike.fault in ("freeze", "kill-late"):
            assert strike.lasts_s > TTL_S
        elif strike.fault == "kill":
            assert strike.lasts_s < TTL_S / 2


def test_all_at_once_hits_different_nodes_within_moments() -> None:
    for strike in strikes(1):
        if strike.fault == "all":
            hit = [part.node for part in strike.parts if part.fault in ON_ONE_NODE]
            assert len(set(hit)) == len(hit) == NODES
            assert max(part.after_s for part in strike.parts) < TTL_S
        else:
            assert strike.parts == ()
