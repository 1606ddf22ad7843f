"""A player moves from node to node, told to or by itself, and nothing of it shows in events and answers."""

import random
from collections import deque

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gameserver.errors import Refused
from tests.client.fake_game import ONE, THREE, TWO, FakeGame
from tests.client.test_player import B, attacks, player_of, read

BATTLES = ("b1", "b2", "b3")


@pytest.fixture
def game():
    return FakeGame()


def migrate(wire, **payload):
    wire.say(event="migrate", payload=payload)


async def test_who_is_told_to_migrate_has_the_new_connection_before_the_old_one_is_left(game, autojump_clock):
    async with player_of(game, ONE) as player:
        await player.watch(B)
        game.happen(B)
        migrate(game.wire, url=TWO, delayMs=1_000)
        await trio.sleep(0.99)
        assert player.url == ONE
        await trio.sleep(0.02)
        assert player.url == TWO
        assert [wire.url for wire in game.wires] == [ONE, TWO]
        assert [wire.url for wire in game.open_wires] == [TWO]
        game.happen(B)
        assert await read(player, 2) == attacks(1, 2)
        assert game.wires[1].instance == game.wires[0].instance


async def test_events_that_come_over_both_connections_come_once(game, autojump_clock):
    async with player_of(game) as player, trio.open_nursery() as nursery:
        await player.watch(B)
        game.latency_s = lambda: 0.05
        migrate(game.wire, url=TWO)
        for _ in range(60):
            game.happen(B)
            await trio.sleep(0.01)
        assert player.url == TWO
        assert await read(player, 60) == attacks(*range(1, 61))
        nursery.cancel_scope.cancel()


async def test_a_command_under_way_is_answered_over_the_old_connection_or_repeated_over_the_new_one(
    game, autojump_clock
):
    answers = []

    async def attack(player):
        answers.append(await player.attack(B))

    async with player_of(game) as player, trio.open_nursery() as nursery:
        game.latency_s = lambda: 0.5
        nursery.start_soon(attack, player)
        await wait_all_tasks_blocked()
        migrate(game.wire, url=TWO)
        await trio.sleep(5)
        assert answers == [{"seq": 1}]
        game.latency_s = None
        old = game.wire
        old.say = lambda **message: None  # from now on it answers nothing
        nursery.start_soon(attack, player)
        await wait_all_tasks_blocked()
        player.follow(ONE)
        await trio.sleep(5)
        assert answers == [{"seq": 1}, {"seq": 2}]
        assert game.battles[B].last_seq == 2
        assert [url for url, event, number in game.heard if number == player.last_id] == [TWO, ONE]


async def test_without_a_url_one_migrates_to_the_next_that_is_known(game, autojump_clock):
    async with player_of(game, ONE, TWO, THREE) as player:
        game.up = {ONE, THREE}
        migrate(game.wire)
        await trio.sleep(1)
        assert player.url == THREE
        migrate(game.wire, delayMs=10)
        await trio.sleep(1)
        assert player.url == ONE


async def test_behind_a_single_address_one_migrates_by_connecting_again(game, autojump_clock):
    async with player_of(game, ONE) as player:
        migrate(game.wire, delayMs=10)
        await trio.sleep(1)
        await player.ping()
        assert [wire.url for wire in game.wires] == [ONE, ONE]
        assert game.wire is game.wires[1]


async def test_where_nobody_answers_one_does_not_migrate_to(game, autojump_clock):
    async with player_of(game, ONE) as player:
        game.up = {ONE}
        migrate(game.wire, url=TWO)
        await trio.sleep(5)
        assert player.url == ONE
        assert len(game.wires) == 1
        assert await player.attack(B) == {"seq": 1}


async def test_a_node_that_is_gone_before_one_has_migrated_sends_one_there_at_once(game, autojump_clock):
    async with player_of(game, ONE) as player:
        migrate(game.wire, url=TWO, delayMs=60_000)
        await wait_all_tasks_blocked()
        game.wire.cut(1001)
        await player.ping()
        assert player.url == TWO
        await trio.sleep(120)
        assert len(game.wires) == 2


async def test_a_player_goes_where_a_battle_is_played(game, autojump_clock):
    async with player_of(game, ONE) as player:
        await player.watch(B)
        player.follow(TWO)
        player.follow(TWO)
        await trio.sleep(1)
        assert player.url == TWO
        player.follow(TWO)
        await trio.sleep(1)
        assert len(game.wires) == 2
        game.happen(B)
        assert await read(player, 1) == attacks(1)
        game.up.remove(TWO)
        game.wire.cut()
        await player.ping()
        assert player.url == ONE


async def test_who_is_told_again_that_the_owner_cannot_be_reached_goes_to_the_owner(game, autojump_clock):
    away = Refused("owner_unreachable", websocket_url=TWO)
    async with player_of(game, ONE) as player:
        game.refusals += [away]
        await player.attack(B)
        assert player.url == ONE
        game.refusals += [away] * 2
        await player.attack(B)
        await trio.sleep(1)
        assert player.url == TWO


async def test_what_the_old_connection_still_answers_does_not_count_for_the_new_one(game, autojump_clock):
    async with player_of(game, ONE, TWO) as player:
        await player.watch(B)
        game.wire.cut()
        game.happen(B)
        while not game.open_wires:
            await trio.sleep(0.01)
        game.wire.latency_s = 0.3  # the answer to what is asked over it takes a while
        player.follow(TWO)
        await trio.sleep(5)
        assert player.url == TWO
        game.happen(B)
        assert await read(player, 2) == attacks(1, 2)


async def test_what_came_over_the_old_connection_need_not_be_had_from_the_new_one(game, autojump_clock):
    async with player_of(game, ONE, TWO) as player, trio.open_nursery() as nursery:
        await player.watch(B)
        game.happen(B)
        await wait_all_tasks_blocked()
        game.wire.latency_s = 0.1
        game.battles[B].kept_from = 100  # nothing old is to be had
        for _ in range(2):
            game.happen(B)
        nursery.start_soon(player.attack, "b2")  # until it is answered, the old connection stays
        await trio.sleep(0.01)
        assert player.last_seq(B) == 1
        player.follow(TWO)
        while len(game.wires) == 1:
            await trio.lowlevel.checkpoint()
        game.wires[1].latency_s = 0.15
        await trio.sleep(5)
        assert player.url == TWO
        game.happen(B)
        assert await read(player, 4) == attacks(1, 2, 3, 4)


# -- all at once ------------------------------------------------------------------------------------------------------


class Troubles:
    """What a seed does to the connections for as long as it is let."""

    def __init__(self, game, seed):
        self.game, self.dice = game, random.Random(seed)
        game.latency_s = lambda: self.dice.choice((0, 0, 0, 0, 0.01, 0.05))

    async def make(self):
        while True:
            await trio.sleep(self.dice.expovariate(1))
            self.dice.choice((self.cut, self.cut, self.migrate, self.refuse, self.take_down, self.unanswer))()

    def cut(self):
        for wire in self.game.open_wires:
            wire.cut(self.dice.choice((None, 1001, 4000, 4001, 4005)), lost=self.dice.choice((0, 1, 5)))

    def migrate(self):
        for wire in self.game.open_wires:
            url = self.dice.choice((None, ONE, TWO, THREE))
            migrate(wire, delayMs=self.dice.randrange(300), **({} if url is None else {"url": url}))

    def refuse(self):
        codes = ("overloaded", "actor_restarting", "owner_unreachable", "outcome_unknown", "node_stopping")
        url = self.dice.choice((None, ONE, TWO, THREE))
        refused = Refused(self.dice.choice(codes), websocket_url=url)
        self.game.refusals = deque([refused] * self.dice.randrange(1, 4))

    def take_down(self):
        self.game.up = set(self.dice.sample((ONE, TWO, THREE), self.dice.randrange(1, 4)))

    def unanswer(self):
        self.game.unanswered = self.dice.randrange(3)

    def end(self):
        self.game.up = {ONE, TWO, THREE}
        self.game.refusals.clear()
        self.game.unanswered = 0


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_happens_events_are_whole_and_commands_take_effect_once(game, autojump_clock, seed):
    troubles = Troubles(game, seed)
    streams, answers = {battle: [] for battle in BATTLES}, {battle: [] for battle in BATTLES}

    async def look(player):
        async for event in player.events():
            streams[event["payload"]["battleId"]].append(event)
            await trio.sleep(troubles.dice.choice((0, 0, 0, 0, 0, 0.05)))

    async def attack(player, battle):
        for _ in range(40):
            answers[battle].append((await player.attack(battle))["seq"])
            await trio.sleep(troubles.dice.expovariate(10))

    async def go_on():
        while True:
            game.happen(troubles.dice.choice(BATTLES))
            await trio.sleep(troubles.dice.expovariate(5))

    dice = random.Random(seed)
    limits = {"events": 30, "command_deadline_ms": 600_000, "away_limit_ms": 600_000, "leave_deadline_ms": 300}
    async with player_of(game, ONE, TWO, THREE, dice=dice, **limits) as player, trio.open_nursery() as nursery:
        for battle in BATTLES:
            await player.watch(battle)
        nursery.start_soon(look, player)
        for trouble in (troubles.make, go_on):
            nursery.start_soon(trouble)
        async with trio.open_nursery() as attackers:
            for battle in BATTLES:
                attackers.start_soon(attack, player, battle)
                attackers.start_soon(attack, player, battle)
        nursery.cancel_scope.cancel()
        troubles.end()
    for battle in BATTLES:
        assert len(answers[battle]) == len(set(answers[battle])) == 80
        ours = [event["seq"] for event in game.battles[battle].events if "by" in event["payload"]]
        assert sorted(answers[battle]) == ours
        assert streams[battle] == game.battles[battle].events[: len(streams[battle])]
        assert len(streams[battle]) > 80
