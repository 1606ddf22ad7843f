"""Messages find the owner from wherever they come, whatever the nodes believe, and take effect once."""

import pytest
import trio
from attrs import evolve

from gameserver.actors.messages import Birth, Show
from gameserver.actors.ports import Accepted, Shown
from gameserver.cluster.items import Request
from gameserver.cluster.placement import place
from gameserver.game import classic, skirmish
from gameserver.game.commands import CreateBattle, CreateGroup, JoinGroup
from gameserver.ids import IdempotencyKey
from tests.actors import nasty
from tests.actors.node import answers, codes
from tests.cluster.cluster_stage import RULES, clustered, id_placed

ABC = ("node-a", "node-b", "node-c")


async def test_an_actor_comes_to_life_where_placement_puts_it_whoever_asks(autojump_clock):
    async with clustered(*ABC) as cluster:
        for via in ABC:
            for on in ABC:
                battle = await cluster.battle(cluster.id_on(on), via=via)
                assert cluster.holders(battle) == [on]


async def test_what_actors_intend_for_others_brings_those_to_life_where_placement_puts_them(autojump_clock):
    """A battle opens itself in both of its groups."""
    async with clustered(*ABC) as cluster:
        a = cluster["node-a"]
        groups = [cluster.id_on("node-b"), cluster.id_on("node-c")]
        for group in groups:
            await a.ask(group, CreateGroup(group, group, "ann"), birth=Birth("group"))
        for node in cluster.living:
            for group in groups:
                await node.core.catalog.hand_over(group, "nobody")
        battle = cluster.id_on("node-a")
        create = CreateBattle(battle, *groups, "nasty", "ann", "attacker")
        assert isinstance(await a.ask(battle, create, birth=Birth("battle", "nasty")), Accepted)
        await trio.sleep(0.1)
        assert [cluster.holders(each) for each in (battle, groups[1])] == [["node-a"], ["node-c"]]


async def test_the_same_command_through_two_nodes_at_once_runs_once(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-c"))
        asked = [cluster[name].do(battle, number=1, instance=1) for name in ABC for _ in range(3)]
        seqs = {answer.seq for answer in await answers(asked)}
        assert len(seqs) == 1
        assert await cluster["node-a"].done(battle) == ["hit"]


async def test_the_same_key_through_two_nodes_creates_one_group(autojump_clock):
    async with clustered(*ABC) as cluster:
        group, key = cluster.id_on("node-b"), IdempotencyKey("ann", "a key", "hash")
        create = CreateGroup(group, "foxes", "ann")
        asked = [cluster[name].tell(group, create, key, Birth("group")) for name in ABC]
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        assert cluster.last_seq(group) == 1


async def test_a_command_in_doubled_packets_runs_once_and_is_answered_once(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster.hub.rule = lambda _sender, _to, _items: "twice"
        ann = cluster["node-a"].client("ann")
        for number in [ann.do(battle) for _ in range(5)]:
            await ann.answer(number)
        assert await cluster["node-c"].done(battle) == ["hit"] * 5


async def test_nodes_that_believe_in_a_circle_end_it(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-c"))
        await cluster["node-c"].core.catalog.hand_over(battle, "nobody")
        for name, believed in zip(ABC, [*ABC[1:], ABC[0]], strict=True):
            cluster[name].cluster.owners.learn(battle, believed)
        asked = cluster["node-a"].do(battle)
        assert isinstance(await asked.answer(), Accepted)
        assert max(item.hops for item in cluster.hub.heard_items(Request)) <= 4, (
            "two beliefs and one word of the journal"
        )
        assert len(cluster.holders(battle)) == 1


@pytest.mark.parametrize("believed", ABC[1:])
async def test_a_wrong_belief_in_who_owns_costs_a_detour_and_no_refusal(autojump_clock, believed):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-c"))
        cluster["node-a"].cluster.owners.learn(battle, believed)
        cluster["node-b"].cluster.owners.forget(battle)
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
        assert cluster.holders(battle) == ["node-c"]


async def test_two_who_each_think_it_the_other_do_not_send_it_to_and_fro(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-b"].core.catalog.hand_over(battle, "nobody")
        cluster["node-a"].cluster.owners.learn(battle, "node-b")
        cluster["node-b"].cluster.owners.learn(battle, "node-a")
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
        assert cluster.holders(battle) == ["node-b"], "whoever is asked and does not have it activates it"


async def test_an_owner_that_died_is_replaced_when_its_lease_has_ended(autojump_clock):
    async with clustered(*ABC, node={"lease_ms": 10_000}) as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-a"].do(battle).answer()
        await cluster["node-b"].kill()
        await trio.sleep(3)
        assert await cluster["node-a"].do(battle, number=2).code() == "owner_unreachable"
        await trio.sleep(8)
        assert isinstance(await cluster["node-a"].do(battle, number=2).answer(), Accepted)
        assert await cluster["node-c"].done(battle) == ["hit", "hit"]
        assert cluster.holders(battle) in (["node-a"], ["node-c"])


async def test_who_cannot_reach_the_owner_says_where_the_client_can(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        cluster["node-a"].bus.cut()
        refused = await cluster["node-a"].do(battle, number=1).answer()
        assert (refused.code, refused.websocket_url) == ("owner_unreachable", "ws://node-b")
        assert refused.retryable


async def test_without_a_bus_each_node_plays_what_nobody_owns(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        await cluster["node-b"].core.catalog.hand_over(battle, "nobody")
        cluster.hub.cut()
        await trio.sleep(11)
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
        assert cluster.holders(battle) == ["node-a"]
        assert await cluster["node-b"].do(battle, number=2).code() == "owner_unreachable"
        cluster.hub.heal()
        await cluster.settle()
        assert isinstance(await cluster["node-b"].do(battle, number=2).answer(), Accepted)


async def test_a_node_without_the_role_owns_nothing_even_if_others_believe_so(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        edge = await cluster.start("node-e", roles=("websocket",))
        await trio.sleep(1)
        battle = await cluster.battle(cluster.id_on("node-a"), via="node-e")
        await cluster["node-a"].core.catalog.hand_over(battle, "nobody")
        cluster["node-b"].cluster.owners.learn(battle, "node-e")
        cluster["node-a"].cluster.owners.learn(battle, "node-b")
        await cluster["node-a"].do(battle).answer()
        assert not edge.holds(battle)


async def test_a_node_without_the_role_plays_through_the_others(autojump_clock):
    async with clustered("node-a", "node-b") as cluster:
        edge = await cluster.start("node-e", roles=("websocket",))
        await trio.sleep(1)
        battle = await cluster.battle(cluster.id_on("node-b"), via="node-e")
        ann = edge.client("ann")
        assert (await ann.ask("battle:do", battle))["event"] == "reply"
        assert not edge.holds(battle)


async def test_where_clients_shall_connect_is_the_owner_for_all_nodes(autojump_clock):
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(cluster.id_on("node-c"))
        assert {node.core.router.websocket_url(battle) for node in cluster.living} == {"ws://node-c"}


def place_that_moves(cluster, on, to):
    """An ID whose place moves from one node to the other when the first one goes."""
    rest, taken = [node.name for node in cluster.living if node.name != on], set(cluster.store.actors)
    while place(actor_id := id_placed(on, [on, *rest], taken), rest) != to:
        taken.add(actor_id)
    return actor_id


@pytest.mark.parametrize("after_s", [0.1, 1.5, 4])
async def test_a_node_that_left_is_not_asked_any_more(autojump_clock, after_s):
    """By one who heard of the owner lately, and of what came then from nobody but its view."""
    async with clustered(*ABC) as cluster:
        battle = await cluster.battle(place_that_moves(cluster, "node-b", "node-c"))
        assert cluster.holders(battle) == ["node-b"]
        await cluster["node-b"].stop()
        await trio.sleep(after_s)
        asked_at = trio.current_time()
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
        assert trio.current_time() - asked_at < 1


# -- rules that not everybody knows -----------------------------------------------------------------------------------

RARE = evolve(nasty.rules, mode="rare")
COMMON = (classic.rules, skirmish.rules, nasty.rules)


@pytest.mark.parametrize("on", ["node-a", "node-b"])
async def test_a_battle_whose_rules_only_the_other_node_knows_is_played_through_this_one(autojump_clock, on):
    async with clustered(rules=(*RULES, RARE)) as cluster:
        await cluster.start("node-a", rules=COMMON)
        b = await cluster.start("node-b", rules=(*COMMON, RARE))
        await cluster.met()
        battle = await cluster.battle(cluster.id_on(on), via="node-b", mode="rare")
        assert cluster.holders(battle) == ["node-b"]
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
        await b.core.catalog.hand_over(battle, "nobody")
        cluster["node-a"].cluster.owners.forget(battle)
        assert isinstance(await cluster["node-a"].do(battle).answer(), Accepted)
        assert cluster.holders(battle) == ["node-b"]


async def test_a_battle_is_created_on_a_node_that_knows_its_mode(autojump_clock):
    async with clustered(rules=(*RULES, RARE)) as cluster:
        await cluster.start("node-a", rules=(*COMMON, RARE))
        await cluster.start("node-b", rules=(*COMMON, RARE))
        await cluster.start("node-c", rules=COMMON)
        await cluster.met()
        await cluster.battle(cluster.id_on("node-a"))
        taken = set(cluster.store.actors)
        for _ in range(4):  # all would be on node-c, if that knew the mode
            battle = id_placed("node-c", ABC, taken)
            taken.add(battle)
            create = CreateBattle(battle, "wolves", "bears", "rare", "ann", "attacker")
            answer = await cluster["node-a"].ask(battle, create, birth=Birth("battle", "rare"))
            assert isinstance(answer, Accepted), answer


async def test_rules_that_nobody_knows_are_said_to_be_unknown(autojump_clock):
    async with clustered(rules=(*RULES, RARE)) as cluster:
        await cluster.start("node-a", rules=COMMON)
        await cluster.start("node-b", rules=COMMON)
        rare = await cluster.start("node-c", rules=(*COMMON, RARE))
        await cluster.met()
        battle = await cluster.battle(cluster.id_on("node-c"), mode="rare", via="node-c")
        await rare.stop()
        await trio.sleep(3)
        asked = [cluster[name].tell(battle, Show()) for name in ("node-a", "node-b")]
        assert await codes(asked) == ["rules_version_unknown"] * 2


async def test_who_asks_for_what_does_not_exist_is_told_so_from_any_node(autojump_clock):
    async with clustered(*ABC) as cluster:
        for name in ABC:
            assert await cluster["node-a"].tell(cluster.id_on(name), Show("battle")).code() == "battle_not_found"
            assert await cluster["node-a"].tell(cluster.id_on(name), JoinGroup("ann")).code() == "group_not_found"


async def test_many_commands_from_many_nodes_all_take_effect_once(autojump_clock):
    async with clustered(*ABC) as cluster:
        battles = [await cluster.battle(cluster.id_on(name)) for name in ABC]
        asked = [cluster[name].do(battle) for _ in range(30) for name in ABC for battle in battles]
        assert all(isinstance(answer, Accepted) for answer in await answers(asked))
        for battle in battles:
            shown = await cluster["node-a"].ask(battle, Show())
            assert isinstance(shown, Shown)
            assert len(shown.view["play"]["done"]) == 90


async def test_an_owner_is_believed_for_as_long_as_it_is_heard_of_and_a_while_longer(autojump_clock):
    async with clustered("node-a", "node-b", cluster={"owner_memory_ms": 10_000}) as cluster:
        owners = cluster["node-a"].cluster.owners
        for _ in range(60):
            owners.learn("a battle", "node-b")
            await trio.sleep(0.5)
            assert owners.learned("a battle") == "node-b"
        await trio.sleep(8)
        assert owners.learned("a battle") == "node-b"
        await trio.sleep(2)
        assert owners.learned("a battle") is None
