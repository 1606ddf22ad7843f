"""Half of the players or more sit on another node than their battle, and the load test says so if it is not so."""

import pytest

from loadtest.meter import Mark, Meter
from loadtest.report import load_report, spread_report
from loadtest.seating import Seat, Seating, homes_of

NODES = ["ws://one", "ws://two", "ws://three", "ws://four"]


@pytest.mark.parametrize("nodes", [2, 3, 4])
@pytest.mark.parametrize("size", [4, 6, 10, 12])
@pytest.mark.parametrize("crew", [0, 1, 2])
def test_wherever_a_battle_lands_half_of_its_crew_or_more_sit_elsewhere(nodes: int, size: int, crew: int) -> None:
    urls = NODES[:nodes]
    for place in urls:
        seating = counted(place, seats_of(crew, size, urls))
        assert seating.crossing * 2 >= seating.seats == size
        assert not seating.verdict().too_small


def test_over_two_nodes_it_is_exactly_half() -> None:
    seating = counted(NODES[0], seats_of(0, 10, NODES[:2]), seats_of(1, 10, NODES[:2]))
    assert seating.verdict().share == 0.5


def test_what_does_not_divide_evenly_is_evened_out_among_the_crews() -> None:
    homes = [seat.home for crew in range(3) for seat in seats_of(crew, 10, NODES[:3])]
    assert [homes.count(node) for node in NODES[:3]] == [10, 10, 10]


def test_on_one_node_nothing_is_asked_of_the_spread() -> None:
    seating = counted(NODES[0], seats_of(0, 4, NODES[:1]))
    assert seating.verdict().share == 0
    assert not seating.verdict().too_small
    assert "FAILED" not in spread_report(seating)


def test_a_share_below_half_is_a_failure_that_is_named() -> None:
    seating = counted(NODES[0], [Seat(NODES[home], NODES[home]) for home in (0, 0, 0, 1, 1)])
    assert seating.verdict().too_small
    assert "FAILED: with 2 nodes it has to be 50% or more" in spread_report(seating)


def test_a_node_that_nobody_knew_of_when_players_were_seated_counts_too() -> None:
    seating = counted(NODES[0], seats_of(0, 4, NODES[:1]))
    seating.places["late"] = NODES[1]
    seating.count("late", [])
    assert seating.verdict().too_small


def test_whom_a_lost_connection_drove_to_the_battles_node_is_told_apart() -> None:
    seats = seats_of(0, 4, NODES[:2])
    seats[1] = Seat(NODES[1], NODES[0])
    seating = counted(NODES[0], seats)
    assert (seating.crossing, seating.displaced) == (1, 1)
    assert not seating.verdict().too_small
    assert "1 seats were displaced" in spread_report(seating)


def test_a_player_knows_all_nodes_the_own_one_first() -> None:
    assert homes_of(1, 3, NODES[:3]) == [
        ("ws://two", "ws://three", "ws://one"),
        ("ws://three", "ws://one", "ws://two"),
        ("ws://one", "ws://two", "ws://three"),
    ]


def test_the_report_names_each_node_with_its_players_and_battles() -> None:
    seating = counted(NODES[0], seats_of(0, 10, NODES[:2]))
    seating.names |= {NODES[0]: "node-a", NODES[1]: "node-b"}
    report = spread_report(seating)
    assert f"  {'node-a':<15} 5 players, 1 battles owned   {NODES[0]}" in report
    assert f"  {'node-b':<15} 5 players, 0 battles owned   {NODES[1]}" in report
    assert "50.0% of the players sat on another node than their battle (5 of 10 seats in 1 battles)" in report


async def test_latencies_are_told_apart_by_whether_they_crossed() -> None:
    meter = Meter()
    begun = Mark.of(meter)
    for took_ms in (1.0, 2.0):
        meter.local_ms.append(took_ms)
        meter.crossing_ms.append(took_ms * 10)
    report = load_report(meter, begun, Mark.of(meter))
    figures = {line.split()[0]: line.split() for line in report.splitlines() if line}
    assert figures["local"][2] == "2.0"
    assert figures["crossing"][2] == "20.0"


async def test_a_join_is_neither_local_nor_crossing_and_an_attack_is_one_of_the_two() -> None:
    meter = Meter()
    for event in ("battle:join", "battle:attack"):
        for crossing in (False, True):
            meter.answered(event, 0.0, crossing=crossing)
    assert [len(each) for each in (meter.entries_ms, meter.latencies_ms, meter.local_ms, meter.crossing_ms)] == [
        2,
        2,
        1,
        1,
    ]


def seats_of(crew: int, size: int, urls: list[str]) -> list[Seat]:
    """Everybody at home."""
    return [Seat(home, home) for home, *_ in homes_of(crew, size, urls)]


def counted(place: str, *crews: list[Seat]) -> Seating:
    """Each crew has fought one battle there."""
    seating = Seating()
    for number, seats in enumerate(crews):
        seating.places[f"battle-{number}"] = place
        for seat in seats:
            seating.seated[seat.home] += 1
        seating.count(f"battle-{number}", seats)
    return seating
