"""What one actor must cause in another: sent when it is durable, and again until it is acknowledged."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gameserver.actors.messages import Birth, Show
from gameserver.actors.ports import Accepted, Shown
from gameserver.errors import StorageUnavailable
from gameserver.game.commands import CreateBattle, Finish, IntendBattle, LeaveGroup
from tests.actors.node import running


def attack(battle_id="battle-1", mode="classic"):
    return IntendBattle(battle_id, "bears", mode, "ann", player_in_defender=False, defender_open=True)


async def open_battles(node, group):
    return (await node.show(group)).view["openBattles"]


async def test_the_group_commits_and_the_battle_comes_to_be(autojump_clock):
    async with running() as node:
        await node.groups()
        await node.ask("wolves", attack())
        await node.settle()
        assert (await node.show("battle-1")).view["state"] == "pending"
        assert await open_battles(node, "wolves") == await open_battles(node, "bears") == ["battle-1"]


async def test_the_battle_comes_to_be_although_the_node_dies_between_the_two(autojump_clock):
    async with running() as node:
        await node.groups()
        asked = node.tell("wolves", attack())
        asked.then = lambda _: node.kill()
        await asked.answer()
    assert "battle-1" not in node.store.actors
    async with running(node.store, "node-b") as other:
        await trio.sleep(10)
        assert (await other.show("battle-1")).view["state"] == "pending"
        assert await open_battles(other, "bears") == ["battle-1"]


async def test_an_intention_is_not_sent_before_it_is_durable_however_long_that_takes(autojump_clock):
    async with running(actors={"intention_retry_ms": 1_000}) as node:
        await node.groups()
        with node.journal.holding() as held:
            node.tell("wolves", attack())
            await held.arrived.wait()
            await trio.sleep(30)
            assert not node.loaded("battle-1")
        await node.settle()
        assert isinstance(await node.show("battle-1"), Shown)


async def test_an_alarm_in_the_very_turn_that_intends_it_does_not_send_it_either(autojump_clock):
    async with running() as node:
        await node.groups()
        with node.journal.holding() as held:
            node.tell("wolves", attack())
            node.catalog._ring("wolves")
            await held.arrived.wait()
            await wait_all_tasks_blocked()
            assert not node.loaded("battle-1")
        await node.settle()
        assert isinstance(await node.show("battle-1"), Shown)


async def test_an_intention_is_sent_again_until_it_is_acknowledged(autojump_clock, monkeypatch):
    async with running() as node:
        await node.groups()

        async def away(*_):
            raise StorageUnavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(type(node.journal), "create", away)
            await node.ask("wolves", attack())
            await trio.sleep(30)
            assert "battle-1" not in node.store.actors
            sent = [asked for asked in node.catalog.asked if isinstance(asked.message.command, CreateBattle)]
            assert 5 <= len(sent) <= 8
        await trio.sleep(6)
        assert isinstance(await node.show("battle-1"), Shown)
        sent = len(node.catalog.asked)
        await trio.sleep(60)
        assert len(node.catalog.asked) == sent


async def test_a_battle_that_cannot_be_created_is_withdrawn_with_its_cooldown(autojump_clock):
    async with running() as node:
        await node.groups()
        await node.ask("wolves", attack(mode="unheard-of"))
        await node.settle()
        wolves = (await node.show("wolves")).view
        assert wolves["openBattles"] == []
        assert wolves["cooldownUntil"] <= node.catalog._clock.now_ms()
        assert isinstance(await node.ask("wolves", attack("battle-2")), Accepted)


async def test_a_defender_that_refuses_ends_the_battle(autojump_clock):
    async with running() as node:
        await node.groups()
        await node.ask("bears", LeaveGroup("dan"))
        await node.ask("wolves", attack())
        await node.settle()
        shown = await node.show("battle-1")
        assert (shown.view["state"], shown.view["winner"]) == ("finished", None)
        assert await open_battles(node, "wolves") == []


async def test_the_end_closes_the_battle_in_both_groups(autojump_clock):
    async with running() as node:
        await node.groups()
        await node.ask("wolves", attack())
        await node.ask("battle-1", Finish(None, operator=True))
        await node.settle()
        assert await open_battles(node, "wolves") == await open_battles(node, "bears") == []


@pytest.mark.parametrize("early", [True, False])
async def test_who_asks_for_a_battle_just_before_its_creation_does_not_spoil_it(autojump_clock, early):
    async with running() as node:
        await node.groups()
        node.journal.latency_s = 0.5
        read = node.tell("battle-1", Show())
        if early:
            await trio.sleep(0.1)
        else:
            await wait_all_tasks_blocked()
        create = CreateBattle("battle-1", "wolves", "bears", "classic", "ann", "attacker")
        created = node.tell("battle-1", create, birth=Birth("battle", "classic"))
        assert isinstance(await created.answer(), Accepted)
        assert read.answered
