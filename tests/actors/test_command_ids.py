"""A command with the same ID takes effect at most once; once it has, it always gets the same answer."""

import pytest
import trio

from gameserver.actors.ports import Accepted
from gameserver.game.commands import JoinGroup, LeaveGroup
from gameserver.ids import CommandId, IdempotencyKey
from tests.actors.node import answers, codes, running


async def test_a_retry_gets_the_first_answer_and_changes_nothing(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        first = await node.do(battle, number=5).answer()
        await node.do(battle, number=6).answer()
        last_seq = node.store.actors[battle].last_seq
        assert (await node.do(battle, number=5).answer()).seq == first.seq
        assert (await node.do(battle, "raise in apply", number=5).answer()).seq == first.seq
        assert node.store.actors[battle].last_seq == last_seq


async def test_a_retry_while_the_first_is_still_in_flight_gets_the_same_answer(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        first, second = await answers([node.do(battle, number=5), node.do(battle, number=5)])
        assert first.seq == second.seq
        assert await node.done(battle) == ["hit"]


@pytest.mark.parametrize("end", ["passivation", "crash", "kill"])
async def test_a_retry_gets_the_first_answer_also_from_a_later_life(autojump_clock, end):
    async with running(actors={"idle_ms": 1_000}) as node:
        battle = await node.battle()
        first = await node.do(battle, number=5).answer()
        if end == "crash":
            assert await node.do(battle, "raise in apply", number=6).code() == "actor_restarting"
        elif end == "passivation":
            await trio.sleep(5)
            assert not node.loaded(battle)
        else:
            node.kill()
    async with running(node.store, "node-b") as other:
        assert (await other.do(battle, number=5).answer()).seq == first.seq
        assert await other.done(battle) == ["hit"]


async def test_a_refused_command_is_not_remembered(autojump_clock):
    async with running() as node:
        battle = await node.battle()
        assert await node.do(battle, "refuse", number=5).code() == "nasty_refusal"
        assert isinstance(await node.do(battle, number=5).answer(), Accepted)


async def test_an_older_id_that_is_not_remembered_is_never_run(autojump_clock):
    async with running(commands={"window": 3}) as node:
        battle = await node.battle()
        for number in range(10, 15):
            await node.do(battle, number=number).answer()
        assert await codes([node.do(battle, number=number) for number in (3, 10, 11)]) == ["command_expired"] * 3
        remembered = await answers([node.do(battle, number=number) for number in (12, 13, 14)])
        assert all(isinstance(answer, Accepted) for answer in remembered)
        assert await node.done(battle) == ["hit"] * 5


async def test_commands_of_a_forgotten_instance_are_never_run(autojump_clock):
    async with running(commands={"instances_per_player": 2}) as node:
        await node.groups()
        for instance in (1, 2, 3):
            for command in (JoinGroup("eve"), LeaveGroup("eve")):
                number = isinstance(command, LeaveGroup)
                await node.ask("wolves", command, CommandId("eve", instance, int(number)))
        last_seq = node.store.actors["wolves"].last_seq
        late = [node.tell("wolves", JoinGroup("eve"), CommandId("eve", 1, number)) for number in (0, 1, 2)]
        assert await codes(late) == ["command_expired"] * 3
        assert isinstance(await node.ask("wolves", JoinGroup("eve"), CommandId("eve", 3, 0)), Accepted)
        assert node.store.actors["wolves"].last_seq == last_seq


async def test_a_key_belongs_to_one_request(autojump_clock):
    async with running() as node:
        await node.groups()
        join, key = JoinGroup("eve"), IdempotencyKey("eve", "a-key", "hash-1")
        first = await node.ask("wolves", join, key)
        assert isinstance(first, Accepted)
        assert b"group:join" in first.event
        assert (await node.ask("wolves", join, key)).seq == first.seq
        other = IdempotencyKey("eve", "a-key", "hash-2")
        assert await node.tell("wolves", LeaveGroup("eve"), other).code() == "idempotency_key_reused"
        row = node.store.keys["eve", "a-key"][1]
        assert (row.request_hash, row.seq, row.answer) == ("hash-1", first.seq, first.event)
