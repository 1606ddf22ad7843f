"""A player stays connected, whatever becomes of the connections: on the virtual clock, against a game made up."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gameserver.client.errors import Unanswered
from gameserver.client.player import Player
from gameserver.client.subscriptions import RESTART, UNWATCHED
from gameserver.errors import Refused
from tests.client.fake_game import ONE
from tests.client.playing import LIMITS, B, Longest, attacks, player_of, read

# -- events ------------------------------------------------------------------------------------------------------------


async def test_a_battles_events_come_each_once_and_in_order_over_broken_connections(game, autojump_clock):
    async with player_of(game) as player:
        game.happen(B)
        assert await player.watch(B) == {"seq": 1, "state": {"state": "running", "at": 1}}
        game.happen(B)
        game.happen(B)
        game.wire.cut(lost=1)
        game.happen(B)
        assert await read(player, 3) == attacks(2, 3, 4)
        game.wire.cut(4001)
        game.happen(B)
        assert await read(player, 1) == attacks(5)
        assert player.last_seq(B) == 5
        assert [instance for _, _, _, instance in game.dialled] == [None, 7, 7]


async def test_what_the_server_no_longer_has_is_a_restart_from_the_present_state(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.wire.cut()
        for _ in range(3):
            game.happen(B)
        game.battles[B].kept_from = 3
        events = player.events()
        restart = await anext(events)
        assert restart == {
            "event": RESTART,
            "seq": 3,
            "payload": {"battleId": B, "state": {"state": "running", "at": 3}},
        }
        game.happen(B)
        assert await read(player, 1) == attacks(4)


async def test_a_state_that_the_server_pushes_instead_of_events_is_a_restart(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.happen(B)
        assert await read(player, 1) == attacks(1)
        game.collapse(B, missed=3)
        assert await anext(player.events()) == {
            "event": RESTART,
            "seq": 4,
            "payload": {"battleId": B, "state": {"state": "running", "at": 4}},
        }
        game.happen(B)
        assert await read(player, 1) == attacks(5)
        assert player.out_of_step == 0


async def test_a_state_that_says_nothing_new_is_passed_over(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.happen(B)
        game.collapse(B, missed=0)
        game.happen(B)
        assert await read(player, 2) == attacks(1, 2)
        assert player.out_of_step == 1


async def test_a_state_for_which_there_is_no_room_is_asked_for_again(game, autojump_clock):
    async with player_of(game, events=2) as player:
        await player.watch(B)
        for _ in range(2):
            game.happen(B)
        game.collapse(B, missed=3)
        await wait_all_tasks_blocked()
        game.happen(B)
        assert await read(player, 6) == attacks(1, 2, 3, 4, 5, 6)


async def test_a_program_that_was_restarted_goes_on_where_it_was(game, autojump_clock):
    for _ in range(4):
        game.happen(B)
    async with Player([ONE], "good", instance=9, last_id=40, limits=LIMITS, dial=game.dial) as player:
        assert (await player.watch(B, after=2))["recovered"]
        assert await read(player, 2) == attacks(3, 4)
        await player.attack(B)
        assert game.wire.instance == 9
        assert player.last_id == 42


async def test_joining_brings_the_events_also_when_the_connection_breaks_before_the_first(game, autojump_clock):
    async with player_of(game) as player:
        game.unanswered = 1
        assert await player.join(B) == {"seq": 1}
        game.happen(B)
        assert await read(player, 2) == [("join", 1), ("attack", 2)]


async def test_whoever_reads_slowly_gets_everything_in_the_end_and_no_more_waits_than_may(game, autojump_clock):
    async with player_of(game, events=10) as player:
        await player.watch(B)
        for _ in range(35):
            game.happen(B)
        await wait_all_tasks_blocked()
        assert len(player.events()) == 10
        assert len(game.wires) == 1
        assert await read(player, 3) == attacks(1, 2, 3)
        for _ in range(5):
            game.happen(B)
        await wait_all_tasks_blocked()
        assert await read(player, 37) == attacks(*range(4, 41))


async def test_who_wants_each_event_at_once_gets_it_before_the_answer_that_follows_it(game, autojump_clock):
    heard = []
    async with player_of(game, on_event=heard.append, events=2) as player:
        await player.watch(B)
        for seq in range(1, 6):
            assert await player.attack(B) == {"seq": seq}
            assert [event["seq"] for event in heard] == list(range(1, seq + 1))
        game.wire.cut()
        game.happen(B)
        await player.ping()
        await wait_all_tasks_blocked()
        assert [event["seq"] for event in heard] == list(range(1, 7))
    assert [event async for event in player.events()] == []


async def test_a_server_that_repeats_or_omits_an_event_is_found_out_though_the_program_never_notices(
    game, autojump_clock
):
    async with player_of(game) as player:
        await player.watch(B)
        game.happen(B)
        game.wire.say(**game.battles[B].events[0])
        game.happen(B)
        await wait_all_tasks_blocked()
        assert player.out_of_step == 1
        game.wire.positions[B] += 1
        for _ in range(3):
            game.happen(B)
        assert await read(player, 5) == attacks(1, 2, 3, 4, 5)
        assert player.out_of_step == 2


async def test_neither_another_connection_nor_asking_again_is_out_of_step(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        for number in range(1, 10):
            game.happen(B)
            if number % 3 == 0:
                game.wire.cut(lost=1)
            await player.watch(B, after=number - 1)
        assert await read(player, 9) == attacks(*range(1, 10))
        assert player.out_of_step == 0


async def test_a_battle_that_is_over_is_not_asked_for_again(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.happen(B, "battle:finished")
        game.happen(B, "battle:settled", intentionId="close:attacker")
        await read(player, 2)
        assert player.expects_events
        game.happen(B, "battle:settled", intentionId="close:defender")
        await read(player, 1)
        assert not player.expects_events
        game.heard.clear()
        game.wire.cut()
        await player.ping()
        await wait_all_tasks_blocked()
        assert [event for _, event, _ in game.heard] == ["ping"]


async def test_a_battle_that_cannot_be_followed_any_more_is_said_to_be_so(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        await player.watch("b2")
        game.watch = lambda *_: (_ for _ in ()).throw(Refused("battle_not_found"))
        game.wire.cut()
        lost = [await anext(player.events()) for _ in range(2)]
        assert {event["event"] for event in lost} == {UNWATCHED}
        assert {event["payload"]["battleId"] for event in lost} == {B, "b2"}
        assert {event["payload"]["code"] for event in lost} == {"battle_not_found"}
        assert player.last_seq(B) is None


async def test_more_battles_than_may_be_followed_are_refused_unless_an_old_one_is_done(game, autojump_clock):
    async with player_of(game, battles=2) as player:
        await player.watch(B)
        await player.watch("b2")
        with pytest.raises(Refused, match="too_many_watches"):
            await player.watch("b3")
        game.happen(B, "battle:finished")
        await read(player, 1)
        await player.watch("b3")
        assert player.last_seq(B) is None


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_a_command_whose_answer_was_lost_is_repeated_under_its_id_and_gets_the_first_answer(game, autojump_clock):
    async with player_of(game) as player:
        game.unanswered = 2
        assert await player.attack(B) == {"seq": 1}
        assert await player.attack(B) == {"seq": 2}
        assert [number for _, event, number in game.heard if event == "battle:attack"] == [1, 1, 1, 2]
        assert game.battles[B].last_seq == 2


async def test_no_command_overtakes_an_earlier_one_to_its_battle_that_is_being_repeated(game, autojump_clock):
    answers = []

    async def attack(player, battle_id, name):
        await player.attack(battle_id)
        answers.append(name)

    async with player_of(game) as player, trio.open_nursery() as nursery:
        game.refusals += [Refused("actor_restarting")] * 3
        nursery.start_soon(attack, player, B, "first")
        await wait_all_tasks_blocked(0.001)
        nursery.start_soon(attack, player, B, "second")
        nursery.start_soon(attack, player, "b2", "elsewhere")
        await trio.sleep(30)
        assert sorted(answers) == ["elsewhere", "first", "second"]
        assert answers.index("first") < answers.index("second")
        assert [event["payload"]["by"] for event in game.battles[B].events] == sorted(game.battles[B].outcomes)


async def test_a_refused_command_waits_as_long_as_the_server_says(game, autojump_clock):
    async with player_of(game, dice=Longest()) as player:
        game.refusals.append(Refused("overloaded", retry_after_ms=3_000))
        before = trio.current_time()
        await player.attack(B)
        assert 3 <= trio.current_time() - before <= 4


async def test_what_is_refused_for_good_is_raised_at_once(game, autojump_clock):
    async with player_of(game) as player:
        game.refusals.append(Refused("no_energy", retry_after_ms=3_000))
        before = trio.current_time()
        with pytest.raises(Refused, match="no_energy"):
            await player.attack(B)
        assert trio.current_time() == before


async def test_a_command_that_was_not_answered_within_its_deadline_can_be_repeated_by_its_id(game, autojump_clock):
    async with player_of(game) as player:
        game.refusals += [Refused("outcome_unknown")] * 1_000
        before = trio.current_time()
        with pytest.raises(Unanswered, match="outcome_unknown") as caught:
            await player.attack(B)
        assert trio.current_time() - before == LIMITS.command_deadline_ms / 1000
        assert caught.value.command_id == 1
        game.refusals.clear()
        assert await player.command("battle:attack", {"battleId": B}, command_id=1) == {"seq": 1}


async def test_a_program_that_keeps_a_record_knows_the_id_before_it_asks(game, autojump_clock):
    async with player_of(game) as player:
        await player.attack(B)
        number = player.next_id()
        assert number == player.last_id == 2
        game.unanswered = 1
        assert await player.command("battle:attack", {"battleId": B}, command_id=number) == {"seq": 2}
        await player.attack(B)
        assert sorted(game.battles[B].outcomes) == [1, 2, 3]


async def test_a_command_that_was_never_sent_says_so(game, autojump_clock):
    async with player_of(game, command_deadline_ms=1_000) as player:
        game.up.clear()
        game.wire.cut()
        await wait_all_tasks_blocked()
        with pytest.raises(Unanswered, match="never sent") as caught:
            await player.attack(B)
        assert caught.value.command_id is None


async def test_more_commands_than_may_be_unanswered_are_refused(game, autojump_clock):
    async with player_of(game, commands=3) as player, trio.open_nursery() as nursery:
        game.silent = True
        for _ in range(3):
            nursery.start_soon(player.attack, B)
        await wait_all_tasks_blocked()
        with pytest.raises(Refused, match="too_many_in_flight"):
            await player.attack(B)
        nursery.cancel_scope.cancel()


async def test_a_command_that_nobody_waits_for_any_more_holds_up_no_other(game, autojump_clock):
    async with player_of(game) as player:
        game.silent = True
        with trio.move_on_after(0.5) as scope:
            await player.attack(B)
        assert scope.cancelled_caught
        game.silent = False
        assert await player.attack(B) == {"seq": 2}
