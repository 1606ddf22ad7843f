"""A player whose connection is lost comes back, in its own time, unless it is told not to."""

import random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gameserver.client.errors import Disconnected, Unreachable
from gameserver.errors import Refused
from tests.client.fake_game import ONE, THREE, TWO
from tests.client.playing import LIMITS, B, Longest, attacks, player_of, read


async def test_the_pauses_between_tries_grow_up_to_a_limit_and_the_tries_have_an_end(game, autojump_clock):
    async with player_of(game, dice=Longest(), away_limit_ms=30_000) as player:
        await trio.sleep(LIMITS.steady_ms / 1000)
        game.up.clear()
        lost_at = trio.current_time()
        game.wire.cut()
        with pytest.raises(Unreachable, match="within 30000 ms"):
            await anext(player.events())
        tries = [at - lost_at for at, *_ in game.dialled[1:]]
        assert tries == pytest.approx([0.2, 0.6, 1.4, 3, 6.2, 11.2, 16.2, 21.2, 26.2])
        assert trio.current_time() - lost_at == pytest.approx(30)
        with pytest.raises(Unreachable):
            await player.attack(B)


async def test_a_server_that_hangs_up_on_everybody_is_not_stormed(game, autojump_clock):
    async with player_of(game, dice=Longest()) as player:
        for _ in range(5):
            await player.ping()
            game.wire.cut(4003)
        await player.ping()
        pauses = [later[0] - earlier[0] for earlier, later in zip(game.dialled, game.dialled[1:], strict=False)]
        assert pauses == pytest.approx([0.4, 0.8, 1.6, 3.2, 5])


async def test_pauses_are_spread_over_their_whole_length(game, autojump_clock):
    async def first_pause(seed):
        async with player_of(game, dice=random.Random(seed)) as player:
            await trio.sleep(LIMITS.steady_ms / 1000)
            cut_at = trio.current_time()
            game.wire.cut()
            await player.ping()
            return trio.current_time() - cut_at

    pauses = [await first_pause(seed) for seed in range(40)]
    assert min(pauses) < 0.03
    assert 0.17 < max(pauses) <= 0.2


async def test_who_comes_back_has_caught_up_once_all_that_was_missed_has_come(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        assert player.caught_up
        game.wire.cut()
        game.happen(B)
        await wait_all_tasks_blocked()
        assert not player.caught_up
        assert await read(player, 1) == attacks(1)
        assert player.caught_up


async def test_the_next_address_is_tried_when_one_does_not_answer(game, autojump_clock):
    game.up = {TWO, THREE}
    async with player_of(game, ONE, TWO, THREE) as player:
        assert player.url == TWO
        game.up = {ONE}
        game.wire.cut()
        await player.attack(B)
        assert player.url == player.hello.node == ONE


async def test_a_node_that_goes_away_is_not_the_first_to_be_tried(game, autojump_clock):
    async with player_of(game, ONE, TWO) as player:
        game.wire.cut(1001)
        await player.ping()
        assert player.url == TWO


async def test_a_node_that_hangs_is_left_for_another_with_the_command_that_it_did_not_answer(game, autojump_clock):
    async with player_of(game, ONE, TWO) as player:
        game.frozen = {ONE}
        asked_at = trio.current_time()
        assert await player.attack(B) == {"seq": 1}
        assert player.url == TWO
        within_ms = LIMITS.connection.command_deadline_ms + LIMITS.ping_deadline_ms + LIMITS.reconnect_pause_ms
        assert trio.current_time() - asked_at <= within_ms / 1000
        assert game.battles[B].last_seq == 1


async def test_a_node_that_only_commits_nothing_for_a_while_is_not_left(game, autojump_clock):
    async with player_of(game, ONE, TWO) as player, trio.open_nursery() as nursery:
        game.stalled = True
        nursery.start_soon(player.attack, B)
        await trio.sleep(3 * LIMITS.connection.command_deadline_ms / 1000)
        game.stalled = False
        assert len(game.wires) == 1
    assert game.battles[B].last_seq == 1


async def test_nobody_there_in_the_first_place_is_raised_on_entering(game, autojump_clock):
    game.up.clear()
    with pytest.raises(Unreachable):
        async with player_of(game):
            raise AssertionError("entered")
    assert trio.current_time() <= LIMITS.first_deadline_ms / 1000


async def test_a_code_that_says_do_not_come_back_ends_events_and_commands(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.happen(B)
        game.wire.cut(4500)
        assert await read(player, 1) == attacks(1)
        with pytest.raises(Disconnected) as caught:
            await anext(player.events())
        assert (caught.value.code, caught.value.come_back) == (4500, False)
        with pytest.raises(Disconnected):
            await player.attack(B)
        assert player.ended is caught.value
        assert len(game.dialled) == 1


async def test_a_command_under_way_hears_of_the_end(game, autojump_clock):
    async with player_of(game) as player, trio.open_nursery() as nursery:

        async def attack():
            with pytest.raises(Disconnected, match="4500"):
                await player.attack(B)

        game.silent = True
        nursery.start_soon(attack)
        await wait_all_tasks_blocked()
        game.wire.cut(4500)


async def test_a_token_that_has_expired_is_the_end_unless_there_is_a_new_one(game, autojump_clock):
    good = {"good"}

    def door(url, token):
        if token not in good:
            raise Refused("token_expired")

    async def newest():
        return max(good)

    game.door = door
    async with player_of(game) as one, player_of(game, token=newest) as other:
        good.clear()
        good.add("newer")
        for wire in game.open_wires:
            wire.cut(4000)
        with pytest.raises(Refused, match="token_expired"):
            await one.attack(B)
        assert await other.attack(B) == {"seq": 1}
        assert "newer" in {token for _, _, token, _ in game.dialled}


async def test_a_full_node_is_tried_again(game, autojump_clock):
    full = [Refused("too_many_connections"), Refused("internal")]
    game.door = lambda url, token: (_ for _ in ()).throw(full.pop()) if full else None
    async with player_of(game) as player:
        await player.ping()
    assert len(game.dialled) == 3


async def test_a_server_that_has_fallen_silent_is_left(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.silent = True
        await trio.sleep(LIMITS.ping_interval_ms / 1000)
        game.happen(B)
        await trio.sleep(1)
        assert len(game.wires) == 1
        await trio.sleep(1.5)
        game.silent = False
        assert await read(player, 1) == attacks(1)
        assert len(game.dialled) > 1


async def test_leaving_ends_the_events_without_an_error_and_closes_the_connection(game, autojump_clock):
    async with player_of(game) as player:
        await player.watch(B)
        game.happen(B)
        await wait_all_tasks_blocked()
    assert [event["seq"] async for event in player.events()] == [1]
    assert game.open_wires == []
    with pytest.raises(Disconnected, match="left"):
        await player.attack(B)


async def test_an_error_of_the_body_comes_out_as_it_is(game, autojump_clock):
    with pytest.raises(LookupError, match="mine"):
        async with player_of(game):
            raise LookupError("mine")


async def test_who_is_cancelled_while_away_is_gone_at_once(game, autojump_clock):
    with trio.move_on_after(3) as scope:
        async with player_of(game) as player:
            game.up.clear()
            game.wire.cut()
            await player.attack(B)
    assert scope.cancelled_caught
    assert trio.current_time() == 3
