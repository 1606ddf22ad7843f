"""A battle from its creation to its last acknowledgement: who may do what, and when. Ann created it for the wolves."""

from collections.abc import Callable
from typing import Any

import pytest

from gameserver.codec import encode
from gameserver.game import classic
from gameserver.game.battle import Battle, Created, Finished, Settled
from gameserver.game.classic import Attack, Cheer, Guard
from gameserver.game.commands import Begin, CloseBattle, CreateBattle, Finish, Join, JoinGroup, OpenBattle
from gameserver.game.guards import Guards
from gameserver.game.machine import IntentionSettled
from gameserver.game.rules import Begun, Joined, Stopped, TimeUp
from tests.game.playing import CREATE, T0, Stage, encoded, pending, restored, running

OPERATOR = Finish(None, operator=True)


def finished() -> Stage:
    stage = running()
    stage.do(Finish("ann"), at=60_000)
    return stage


def unborn() -> Stage:
    return Stage(lambda: Battle(classic.rules, Guards()))


# -- pending -----------------------------------------------------------------------------------------------------------


def test_creation_seats_the_initiator_and_waits_for_the_begin() -> None:
    stage = unborn()
    created, joined = stage.do(CREATE, at=0)
    assert created == Created("battle-1", "wolves", "bears", "classic", "ann", expires_at=T0 + 600_000, at=T0)
    assert joined == Joined("ann", "attacker", "initiator", T0)
    assert (stage.state.phase, stage.machine.deadline()) == ("pending", T0 + 600_000)


def test_an_initiator_from_the_defending_group_sits_on_its_side() -> None:
    stage = unborn()
    stage.do(CreateBattle("battle-1", "wolves", "bears", "classic", "dan", "defender"), at=0)
    assert stage.state.seats["dan"].side == "defender"


def test_a_repeated_creation_changes_nothing_at_any_time() -> None:
    for stage in (pending(), running(), finished()):
        assert stage.do(CREATE) == []


@pytest.mark.parametrize("command", [Join("abe", ("attacker",)), Begin("ann"), Finish("ann"), OPERATOR, Attack("ann")])
def test_before_its_creation_there_is_no_battle(command: object) -> None:
    assert unborn().code(command) == "battle_not_found"


def test_a_timer_before_the_creation_does_nothing() -> None:
    assert unborn().machine.deadline() is None
    assert unborn().do(TimeUp(), at=0) == []


def test_a_pending_battle_that_nobody_begins_expires_without_a_winner() -> None:
    stage = pending()
    assert stage.do(TimeUp(), at=599_999) == []
    (event,) = stage.do(TimeUp(), at=600_040)
    assert event == Finished(None, None, 0, {}, "expired", None, T0 + 600_040, late_ms=40)
    assert (stage.state.phase, stage.machine.deadline()) == ("finished", None)


def test_a_pending_battle_takes_no_action_and_no_finish() -> None:
    stage = pending()
    for command in (Attack("ann"), Guard("ann"), Cheer("ann", "abe"), Finish("ann"), Finish("olga", owner=True)):
        assert stage.code(command, at=90_000) == "battle_not_running"


def test_an_operator_may_end_a_pending_battle() -> None:
    stage = pending()
    (event,) = stage.do(OPERATOR, at=5)
    assert (event.winner, event.reason) == (None, "operator")


# -- join --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [pending, running])
def test_a_member_joins_the_own_side_while_the_battle_is_pending_or_running(make: Callable[[], Stage]) -> None:
    stage = make()
    assert stage.do(Join("bob", ("defender",)), at=7) == [Joined("bob", "defender", "participant", T0 + 7)]


def test_a_late_player_can_act_at_once() -> None:
    stage = running()
    stage.do(Join("bob", ("defender",)), at=7)
    assert stage.do(Attack("bob"), at=8)


def test_nobody_joins_twice() -> None:
    for stage in (pending(), running()):
        assert stage.code(Join("ann", ("attacker",))) == "already_joined"


@pytest.mark.parametrize("sides", [(), ("attacker", "defender")])
def test_a_joiner_belongs_to_exactly_one_of_the_two_groups(sides: Any) -> None:
    assert pending().code(Join("bob", sides)) == "not_in_exactly_one_group"


def test_a_battle_holds_no_more_players_than_it_may() -> None:
    stage = pending(guards=Guards(battle_players_limit=2))
    stage.do(Join("dan", ("defender",)))
    assert stage.code(Join("dot", ("defender",))) == "battle_full"


# -- begin -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [Begin("ann"), Begin("olga", owner=True)])
def test_the_initiator_or_an_owner_begins_the_battle(command: Begin) -> None:
    stage = pending()
    stage.do(Join("dan", ("defender",)))
    assert stage.do(command, at=5) == [Begun(command.player_id, T0 + 5)]
    assert (stage.state.phase, stage.state.started_at) == ("running", T0 + 5)
    assert stage.machine.deadline() == T0 + 5 + 180_000


def test_nobody_else_begins_the_battle() -> None:
    stage = pending()
    stage.do(Join("dan", ("defender",)))
    assert stage.code(Begin("dan")) == "not_allowed_to_begin"


def test_a_battle_begins_only_with_both_sides_present() -> None:
    stage = pending()
    stage.do(Join("abe", ("attacker",)))
    assert stage.code(Begin("ann")) == "side_missing"


def test_a_second_begin_is_a_conflict() -> None:
    refused = running().refusal(Begin("ann"))
    assert (refused.code, refused.status) == ("battle_already_begun", 409)


# -- running -----------------------------------------------------------------------------------------------------------


def test_only_players_of_the_battle_can_act() -> None:
    stage = running()
    for command in (Attack("bob"), Guard("bob"), Cheer("bob", "ann")):
        assert stage.code(command) == "not_joined"


def test_a_command_that_no_battle_knows_is_refused() -> None:
    assert running().code(JoinGroup("ann")) == "unknown_event"


@pytest.mark.parametrize("command", [Finish("ann"), Finish("olga", owner=True)])
def test_the_initiator_or_an_owner_finishes_the_battle_after_its_minimum_duration(command: Finish) -> None:
    stage = running()
    refused = stage.refusal(command, at=59_999)
    assert (refused.code, refused.retry_after_ms) == ("finish_too_early", 1)
    stopped, ended = stage.do(command, at=60_000)
    assert stopped == Stopped("called", T0 + 60_000, command.player_id)
    assert (ended.reason, ended.started_at, ended.at) == ("called", T0, T0 + 60_000)
    assert (stage.state.phase, stage.machine.deadline()) == ("finished", None)


def test_nobody_else_finishes_the_battle() -> None:
    assert running().code(Finish("dan"), at=60_000) == "not_allowed_to_finish"


def test_an_operator_finishes_a_running_battle_at_any_time() -> None:
    stage = running()
    stopped, ended = stage.do(OPERATOR, at=1)
    assert (stopped.reason, ended.reason, ended.winner) == ("operator", "operator", "defender")


# -- finished ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        Join("bob", ("defender",)),
        Begin("ann"),
        Finish("ann"),
        OPERATOR,
        Attack("ann"),
        Guard("ann"),
        Cheer("ann", "abe"),
    ],
)
def test_a_finished_battle_takes_nothing_more(command: object) -> None:
    assert finished().code(command, at=61_000) == "battle_finished"


def test_a_timer_after_the_end_does_nothing() -> None:
    stage = finished()
    assert stage.do(TimeUp(), at=200_000) == []
    assert stage.machine.follow_up(T0 + 200_000) == ()


# -- what the groups have to hear --------------------------------------------------------------------------------------


def told(stage: Stage) -> list[tuple[str, object]]:
    return [(intention.target, intention.command) for intention in stage.machine.intentions()]


def settle_all(stage: Stage) -> None:
    for intention in list(stage.machine.intentions()):
        assert stage.do(IntentionSettled(intention.id)) == [Settled(intention.id, None, stage.now)]


def test_the_defending_group_is_told_until_it_has_answered() -> None:
    stage = pending()
    assert told(stage) == [("bears", OpenBattle("battle-1"))]
    settle_all(stage)
    assert told(stage) == []


def test_both_groups_are_told_of_the_end_until_they_have_answered() -> None:
    stage = running()
    settle_all(stage)
    stage.do(Finish("ann"), at=60_000)
    assert told(stage) == [("wolves", CloseBattle("battle-1")), ("bears", CloseBattle("battle-1"))]
    settle_all(stage)
    assert told(stage) == []


def test_a_group_never_hears_of_the_end_before_the_beginning() -> None:
    stage = finished()
    assert told(stage) == [("bears", OpenBattle("battle-1")), ("wolves", CloseBattle("battle-1"))]
    settle_all(stage)
    assert told(stage) == [("bears", CloseBattle("battle-1"))]


def test_a_repeated_answer_changes_nothing() -> None:
    stage = pending()
    (intention,) = stage.machine.intentions()
    assert stage.do(IntentionSettled(intention.id))
    assert stage.do(IntentionSettled(intention.id)) == []
    assert stage.do(IntentionSettled("open:nobody")) == []


def test_a_pending_battle_ends_when_the_defending_group_cannot_have_it() -> None:
    stage = pending()
    settled, ended = stage.do(IntentionSettled("open:bears", "group_closed"), at=3)
    assert settled == Settled("open:bears", "group_closed", T0 + 3)
    assert (ended.winner, ended.reason, stage.state.phase) == (None, "group_closed", "finished")


def test_a_refused_answer_does_not_end_a_running_battle() -> None:
    stage = running()
    assert len(stage.do(IntentionSettled("open:bears", "group_closed"))) == 1
    assert stage.state.phase == "running"


# -- reading -----------------------------------------------------------------------------------------------------------


def test_the_view_is_json_and_tells_players_and_result() -> None:
    view = finished().machine.view()
    assert encode(view)
    assert (view["state"], view["winner"], view["finishedAt"]) == ("finished", "defender", T0 + 60_000)
    assert view["players"]["ann"] == {"side": "attacker", "role": "initiator"}
    assert view["play"]["endsAt"] == T0 + 180_000


def test_a_battle_goes_on_from_a_snapshot_as_if_nothing_had_happened() -> None:
    stage = running()
    stage.do(Attack("ann"), at=10)
    twin = Stage(lambda: restored(encoded(stage.machine), classic.rules, Guards()))
    twin.journal = list(stage.journal)
    assert twin.do(Attack("dan"), at=20) == stage.do(Attack("dan"), at=20)
    assert encoded(twin.machine) == encoded(stage.machine)
