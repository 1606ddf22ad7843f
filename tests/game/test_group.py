"""The wolves: Ann made the group, then Abe and Ada came. What they attack, what attacks them, and how it ends."""

import pytest

from gameserver.codec import encode
from gameserver.game.commands import (
    CloseBattle,
    CreateBattle,
    CreateGroup,
    IntendBattle,
    JoinGroup,
    LeaveGroup,
    OpenBattle,
)
from gameserver.game.group import (
    BattleClosed,
    BattleConfirmed,
    BattleIntended,
    BattleOpened,
    BattleWithdrawn,
    Group,
    GroupClosed,
    GroupCreated,
    MemberJoined,
    MemberLeft,
)
from gameserver.game.guards import Guards
from gameserver.game.machine import IntentionSettled
from gameserver.game.rules import Begun, TimeUp
from tests.game.playing import T0, Stage, attack_on_bears, group


def roles(stage: Stage) -> dict[str, str]:
    return {player: member.role for player, member in stage.state.members.items()}


def everybody_leaves(stage: Stage) -> None:
    for player in list(stage.state.members):
        stage.do(LeaveGroup(player))


# -- members -----------------------------------------------------------------------------------------------------------


def test_whoever_makes_a_group_owns_it() -> None:
    stage = Stage(lambda: Group(Guards()))
    assert stage.do(CreateGroup("wolves", "Wolves", "ann"), at=0) == [GroupCreated("wolves", "Wolves", "ann", T0)]
    assert roles(stage) == {"ann": "owner"}


def test_a_repeated_creation_changes_nothing() -> None:
    assert group().do(CreateGroup("wolves", "Wolves", "ann")) == []


@pytest.mark.parametrize("command", [JoinGroup("ann"), LeaveGroup("ann"), attack_on_bears(), OpenBattle("battle-1")])
def test_before_its_creation_there_is_no_group(command: object) -> None:
    assert Stage(lambda: Group(Guards())).code(command) == "group_not_found"


def test_a_command_that_no_group_knows_is_refused() -> None:
    assert group().code(TimeUp()) == "unknown_event"


def test_a_player_joins_once() -> None:
    stage = group()
    assert stage.do(JoinGroup("bob"), at=5) == [MemberJoined("bob", T0 + 5)]
    assert stage.code(JoinGroup("bob")) == "already_in_group"


def test_a_group_holds_no_more_members_than_it_may() -> None:
    assert group(Guards(group_members_limit=3)).code(JoinGroup("bob")) == "group_full"


def test_a_member_leaves_and_the_owner_stays() -> None:
    stage = group()
    assert stage.do(LeaveGroup("abe"), at=5) == [MemberLeft("abe", None, T0 + 5)]
    assert roles(stage) == {"ann": "owner", "ada": "member"}


def test_only_a_member_can_leave() -> None:
    assert group().code(LeaveGroup("dan")) == "not_in_group"


def test_an_owner_who_leaves_hands_over_to_the_longest_standing_member() -> None:
    stage = group()
    assert stage.do(LeaveGroup("ann"), at=5) == [MemberLeft("ann", "abe", T0 + 5)]
    assert (stage.state.owner_id, roles(stage)) == ("abe", {"abe": "owner", "ada": "member"})


def test_whoever_comes_back_stands_last_in_line() -> None:
    stage = group()
    stage.do(LeaveGroup("abe"))
    stage.do(JoinGroup("abe"))
    stage.do(LeaveGroup("ann"))
    assert stage.state.owner_id == "ada"


def test_the_last_one_out_closes_the_group_for_good() -> None:
    stage = group()
    stage.do(LeaveGroup("abe"))
    stage.do(LeaveGroup("ann"))
    assert stage.do(LeaveGroup("ada"), at=5) == [MemberLeft("ada", None, T0 + 5), GroupClosed(T0 + 5)]
    assert stage.state.closed
    for command in (JoinGroup("bob"), attack_on_bears(), OpenBattle("battle-1")):
        assert stage.code(command) == "group_closed"


@pytest.mark.parametrize("command", [attack_on_bears(), OpenBattle("battle-1")])
def test_the_last_one_stays_while_the_group_has_open_battles(command: object) -> None:
    stage = group()
    stage.do(command)
    stage.do(LeaveGroup("abe"))
    stage.do(LeaveGroup("ann"))
    assert stage.code(LeaveGroup("ada")) == "group_has_open_battles"
    stage.do(CloseBattle("battle-1"))
    assert stage.do(LeaveGroup("ada"))


# -- attacking ---------------------------------------------------------------------------------------------------------


def test_an_attack_is_an_intention_until_the_battle_exists() -> None:
    stage = group()
    (event,) = stage.do(attack_on_bears(), at=5)
    assert event == BattleIntended(
        "battle-1", "bears", "classic", "ann", "attacker", cooldown_until=T0 + 300_005, at=T0 + 5
    )
    (intention,) = stage.machine.intentions()
    assert (intention.target, intention.kind, intention.mode) == ("battle-1", "battle", "classic")
    assert intention.command == CreateBattle("battle-1", "wolves", "bears", "classic", "ann", "attacker")
    assert stage.do(IntentionSettled("battle-1"), at=9) == [BattleConfirmed("battle-1", T0 + 9)]
    assert (list(stage.machine.intentions()), stage.state.open_battles) == ([], ["battle-1"])


def test_a_member_of_the_defending_group_may_be_the_initiator() -> None:
    stage = group()
    (event,) = stage.do(
        IntendBattle("battle-1", "bears", "classic", "dan", player_in_defender=True, defender_open=True)
    )
    assert event.player_side == "defender"


@pytest.mark.parametrize(("player", "in_defender"), [("ann", True), ("nobody", False)])
def test_the_initiator_belongs_to_exactly_one_of_the_two_groups(player: str, in_defender: bool) -> None:
    command = IntendBattle("battle-1", "bears", "classic", player, player_in_defender=in_defender, defender_open=True)
    assert group().code(command) == "not_in_exactly_one_group"


def test_a_group_cannot_attack_itself() -> None:
    assert group().code(attack_on_bears(defender="wolves")) == "same_group"


def test_a_closed_group_cannot_be_attacked() -> None:
    command = IntendBattle("battle-1", "bears", "classic", "ann", player_in_defender=False, defender_open=False)
    assert group().code(command) == "group_closed"


def test_after_an_attack_the_group_cools_down_for_five_minutes() -> None:
    stage = group()
    stage.do(attack_on_bears(), at=1_000)
    refused = stage.refusal(attack_on_bears("battle-2"), at=300_999)
    assert (refused.code, refused.retry_after_ms) == ("group_cooling_down", 1)
    assert stage.do(attack_on_bears("battle-2"), at=301_000)


def test_being_attacked_cools_nobody_down() -> None:
    stage = group()
    stage.do(OpenBattle("battle-0"))
    assert stage.do(attack_on_bears())


def test_the_end_of_the_battle_does_not_end_the_cooldown() -> None:
    stage = group()
    stage.do(attack_on_bears(), at=0)
    stage.do(IntentionSettled("battle-1"))
    stage.do(CloseBattle("battle-1"), at=60_000)
    assert stage.code(attack_on_bears("battle-2")) == "group_cooling_down"


def test_a_battle_that_cannot_be_created_is_withdrawn_with_its_cooldown() -> None:
    stage = group()
    stage.do(attack_on_bears(), at=0)
    assert stage.do(IntentionSettled("battle-1", "unknown_mode"), at=9) == [
        BattleWithdrawn("battle-1", "unknown_mode", T0 + 9)
    ]
    assert (list(stage.machine.intentions()), stage.state.open_battles) == ([], [])
    assert stage.do(attack_on_bears("battle-2"), at=10)


def test_a_withdrawn_battle_leaves_the_cooldown_of_a_later_one() -> None:
    stage = group()
    stage.do(attack_on_bears("battle-1"), at=0)
    stage.do(attack_on_bears("battle-2"), at=300_000)
    stage.do(IntentionSettled("battle-1", "unknown_mode"), at=300_001)
    assert stage.code(attack_on_bears("battle-3")) == "group_cooling_down"
    assert stage.state.open_battles == ["battle-2"]


def test_a_repeated_attack_with_the_same_battle_is_the_same_attack() -> None:
    stage = group()
    stage.do(attack_on_bears(), at=0)
    assert stage.do(attack_on_bears(), at=1) == []
    stage.do(IntentionSettled("battle-1"))
    assert stage.do(attack_on_bears(), at=400_000) == []


def test_a_repeated_answer_changes_nothing() -> None:
    stage = group()
    stage.do(attack_on_bears())
    stage.do(IntentionSettled("battle-1"))
    assert stage.do(IntentionSettled("battle-1")) == []
    assert stage.do(IntentionSettled("battle-1", "unknown_mode")) == []


def test_the_battle_may_end_before_the_group_has_heard_of_its_creation() -> None:
    for refusal in (None, "unknown_mode"):
        stage = group()
        stage.do(attack_on_bears())
        stage.do(CloseBattle("battle-1"))
        stage.do(IntentionSettled("battle-1", refusal))
        assert (list(stage.machine.intentions()), stage.state.open_battles) == ([], [])


# -- being attacked ----------------------------------------------------------------------------------------------------


def test_an_attacked_group_has_the_battle_open_until_it_is_over() -> None:
    stage = group()
    assert stage.do(OpenBattle("battle-0"), at=1) == [BattleOpened("battle-0", T0 + 1)]
    assert stage.do(OpenBattle("battle-0")) == []
    assert stage.state.open_battles == ["battle-0"]
    assert stage.do(CloseBattle("battle-0"), at=2) == [BattleClosed("battle-0", T0 + 2)]
    assert stage.do(CloseBattle("battle-0")) == []
    assert stage.state.open_battles == []


def test_a_closed_group_acknowledges_the_end_of_its_battles_again() -> None:
    stage = group()
    stage.do(OpenBattle("battle-0"))
    stage.do(CloseBattle("battle-0"))
    everybody_leaves(stage)
    assert stage.do(CloseBattle("battle-0")) == []


# -- reading -----------------------------------------------------------------------------------------------------------


def test_the_view_is_json_and_lists_members_in_the_order_of_joining() -> None:
    stage = group()
    stage.do(attack_on_bears(), at=5)
    view = stage.machine.view()
    assert encode(view)
    assert list(view["members"]) == ["ann", "abe", "ada"]
    assert view["members"]["abe"] == {"role": "member", "joinedAt": T0 + 1}
    assert (view["ownerId"], view["openBattles"], view["cooldownUntil"]) == ("ann", ["battle-1"], T0 + 300_005)


def test_a_group_has_no_timer_and_entails_nothing() -> None:
    stage = group()
    assert stage.machine.deadline() is None
    assert stage.machine.follow_up(T0) == ()


def test_an_event_that_the_group_does_not_know_is_ignored() -> None:
    stage = group()
    stage.machine.apply(Begun("ann", T0))
    assert roles(stage) == {"ann": "owner", "abe": "member", "ada": "member"}
