"""The mode `classic`, told by Ann and Abe (wolves, attacking) and Dan and Dot (bears, defending)."""

import pytest

from gameserver.codec import encode
from gameserver.errors import Refused
from gameserver.game import classic, skirmish
from gameserver.game.battle import Finished
from gameserver.game.classic import Attack, Attacked, Cheer, Cheered, Guard, Guarded, Numbers, Player, Team
from gameserver.game.commands import Begin, Finish, Join
from gameserver.game.rules import Dice, Stopped, TimeUp
from tests.game.playing import T0, Stage, pending, running


def attack(stage: Stage, player: str, at: int) -> Attacked:
    event = stage.do(Attack(player), at=at)[0]
    assert isinstance(event, Attacked)
    return event


def energy(stage: Stage, player: str, at: int) -> int:
    return classic._energy(stage.state.play.numbers, stage.state.play.players[player], T0 + at)


# -- attack, guard, cheer ----------------------------------------------------------------------------------------------


def test_an_attack_costs_energy_and_hurts_the_other_side() -> None:
    stage = running()
    event = attack(stage, "ann", at=10)
    assert (event.side, event.energy, event.at) == ("defender", 5 - 2, T0 + 10)
    assert 8 <= event.damage <= 16
    assert event.health == 1_000 - event.damage == stage.state.play.teams["defender"].health
    assert stage.state.play.teams["attacker"].health == 1_000


def test_the_dice_of_an_attack_are_those_of_its_place_in_the_journal() -> None:
    stage = running()
    position = len(stage.journal)
    assert attack(stage, "ann", at=10).damage == Dice("secret", position).roll(8, 16)


def test_a_guard_takes_its_share_off_each_attack_until_it_ends() -> None:
    stage = running(Numbers(damage_least=15, damage_most=15, guard_ms=5_000, guard_percent=50))
    (event,) = stage.do(Guard("dan"), at=0)
    assert event == Guarded("dan", "defender", T0 + 5_000, energy=2, at=T0)
    assert attack(stage, "ann", at=4_999).damage == 8, "half of 15, rounded down, is taken off"
    assert attack(stage, "ann", at=5_000).damage == 15


def test_a_guard_shields_its_own_side_only() -> None:
    stage = running(Numbers(damage_least=10, damage_most=10))
    stage.do(Guard("dan"), at=0)
    assert attack(stage, "dot", at=1).damage == 10


def test_a_second_guard_prolongs_the_first_and_takes_off_no_more() -> None:
    stage = running(Numbers(damage_least=10, damage_most=10, guard_ms=5_000))
    stage.do(Guard("dan"), at=0)
    stage.do(Guard("dot"), at=3_000)
    assert attack(stage, "ann", at=4_000).damage == 5
    assert attack(stage, "abe", at=7_999).damage == 5
    assert attack(stage, "ann", at=8_000).damage == 10


def test_a_cheer_gives_a_team_mate_the_energy_that_it_costs() -> None:
    stage = running()
    (event,) = stage.do(Cheer("ann", "abe"), at=0)
    assert event == Cheered("ann", "abe", gained=2, target_energy=7, energy=3, at=T0)
    assert (energy(stage, "ann", 0), energy(stage, "abe", 0)) == (3, 7)


def test_a_cheer_gives_nothing_beyond_the_maximum() -> None:
    stage = running(Numbers(energy_start=9))
    (event,) = stage.do(Cheer("ann", "abe"), at=0)
    assert (event.gained, event.target_energy) == (1, 10)


@pytest.mark.parametrize("target", ["ann", "dan", "nobody"])
def test_only_another_player_of_ones_own_side_can_be_cheered(target: str) -> None:
    assert running().code(Cheer("ann", target)) == "not_team_mate"


@pytest.mark.parametrize("command", [Attack("ann"), Guard("ann"), Cheer("ann", "abe")])
def test_an_action_without_enough_energy_is_refused_until_there_is_enough(command: object) -> None:
    numbers = Numbers(energy_start=0, energy_interval_ms=1_000, attack_cost=3, guard_cost=3, cheer_cost=3)
    stage = running(numbers)
    refused = stage.refusal(command, at=1_400)
    assert (refused.code, refused.retry_after_ms) == ("no_energy", 1_600)
    assert stage.code(command, at=2_999) == "no_energy"
    assert stage.do(command, at=3_000)


def test_what_the_mode_does_not_know_is_refused() -> None:
    stage = running()
    with pytest.raises(Refused, match="unknown_event"):
        classic.decide(stage.state.play, Player("attacker", 1, 1), T0, Dice("secret", 1))


# -- energy ------------------------------------------------------------------------------------------------------------


def test_energy_grows_by_one_point_per_interval_up_to_the_maximum() -> None:
    stage = running()
    assert [energy(stage, "ann", at) for at in (0, 1_999, 2_000, 4_000, 10_000, 60_000)] == [5, 5, 6, 7, 10, 10]


def test_spending_energy_does_not_restart_the_interval_that_is_running() -> None:
    stage = running()
    attack(stage, "ann", at=1_900)
    assert energy(stage, "ann", at=2_000) == 4


def test_a_full_player_starts_a_new_interval_when_energy_is_spent() -> None:
    stage = running()
    attack(stage, "ann", at=11_900)
    assert [energy(stage, "ann", at) for at in (11_900, 12_000, 13_899, 13_900)] == [8, 8, 8, 9]


def test_being_cheered_does_not_restart_the_interval_that_is_running() -> None:
    stage = running()
    stage.do(Cheer("ann", "abe"), at=1_900)
    assert energy(stage, "abe", at=2_000) == 8


def test_energy_does_not_grow_while_the_battle_waits_for_its_begin() -> None:
    stage = pending()
    stage.do(Join("dan", ("defender",)))
    stage.do(Begin("ann"), at=30_000)
    assert [energy(stage, "ann", at) for at in (30_000, 31_999, 32_000)] == [5, 5, 6]


def test_a_late_players_energy_grows_from_the_join_on() -> None:
    stage = running()
    stage.do(Join("ada", ("attacker",)), at=30_000)
    assert [energy(stage, "ada", at) for at in (30_000, 31_999, 32_000)] == [5, 5, 6]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_battle_is_over_when_a_side_has_no_health() -> None:
    stage = running(Numbers(defender_health=20, damage_least=15, damage_most=15))
    assert len(stage.do(Attack("ann"), at=0)) == 1
    hit, finished = stage.do(Attack("abe"), at=0)
    assert (hit.damage, hit.health) == (5, 0), "no more damage than there was health"
    assert finished == Finished(
        winner="attacker",
        winner_group_id="wolves",
        score=20,
        players={"ann": 15, "abe": 5, "dan": 0, "dot": 0},
        reason="health",
        started_at=T0,
        at=T0,
    )


def test_the_battle_is_over_after_three_minutes_and_says_how_late_it_noticed() -> None:
    stage = running()
    assert stage.machine.deadline() == T0 + 180_000
    assert stage.do(TimeUp(), at=179_999) == []
    stopped, finished = stage.do(TimeUp(), at=180_250)
    assert stopped == Stopped("time", T0 + 180_250, late_ms=250)
    assert (finished.reason, finished.winner, finished.score) == ("time", "defender", 0)


def test_nobody_acts_after_the_time_is_up_even_if_the_timer_is_late() -> None:
    stage = running()
    assert stage.code(Attack("ann"), at=180_000) == "battle_not_running"


def test_a_called_battle_names_its_winner() -> None:
    stage = running()
    hit = attack(stage, "dan", at=60_000)
    stopped, finished = stage.do(Finish("ann"), at=60_000)
    assert stopped == Stopped("called", T0 + 60_000, "ann")
    assert (finished.winner, finished.winner_group_id, finished.score) == ("defender", "bears", hit.damage)


@pytest.mark.parametrize(
    ("attacker", "defender", "winner", "score"),
    [
        (Team(health=51, dealt=3), Team(health=50, dealt=9), "attacker", 3),
        (Team(health=50, dealt=9), Team(health=51, dealt=3), "defender", 3),
        (Team(health=50, dealt=9), Team(health=50, dealt=3), "attacker", 9),
        (Team(health=50, dealt=3), Team(health=50, dealt=9), "defender", 9),
        (Team(health=50, dealt=9), Team(health=50, dealt=9), "defender", 9),
    ],
)
def test_more_health_wins_then_more_damage_dealt_then_the_defender(
    attacker: Team, defender: Team, winner: str, score: int
) -> None:
    play = running().state.play
    play.teams, play.stopped = {"attacker": attacker, "defender": defender}, "time"
    result = classic.result(play)
    assert result is not None
    assert (result.winner, result.score, result.reason) == (winner, score, "time")


def test_there_is_no_result_while_the_battle_goes_on() -> None:
    assert classic.result(running().state.play) is None


# -- what others see ---------------------------------------------------------------------------------------------------


def test_the_view_is_json_and_names_things_as_the_wire_does() -> None:
    stage = running()
    hit = attack(stage, "ann", at=0)
    view = stage.machine.view()["play"]
    assert encode(view)
    assert view["endsAt"] == T0 + 180_000
    assert view["sides"]["defender"] == {"health": hit.health, "guardedUntil": 0, "dealt": 0}
    assert view["players"]["ann"] == {"energy": 3, "energyAt": T0, "dealt": hit.damage}


def test_an_interval_of_no_time_is_no_number_for_the_mode() -> None:
    with pytest.raises(ValueError, match="energy_interval_ms"):
        Numbers(energy_interval_ms=0)


# -- skirmish ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset_ms", [0, 200, 400])
def test_a_skirmish_of_ten_ends_by_health_within_25_s(offset_ms: int) -> None:
    """`offset_ms` lies between the players' first attacks; each attacks again every 4 s, and never lacks energy."""
    stage = running(rules=skirmish.rules)
    for number in range(3):
        stage.do(Join(f"wolf-{number}", ("attacker",)))
        stage.do(Join(f"bear-{number}", ("defender",)))
    turns = sorted(
        (place * offset_ms + 4_000 * turn, place, player)
        for place, player in enumerate(stage.state.seats)
        for turn in range(7)
    )
    for at, _, player in turns:
        stage.do(Attack(player), at=at)
        if stage.state.phase == "finished":
            break
    assert stage.state.reason == "health"
    assert 12_000 <= stage.state.finished_at - T0 <= 25_000


def test_a_skirmish_lasts_30_s_at_most() -> None:
    assert running(rules=skirmish.rules).machine.deadline() == T0 + 30_000
