"""What all nodes are told: new battles, revoked logins, players who were sent away; and who reads the outbox."""

import pytest
import trio

from gameserver.actors.ports import OutboxRow
from gameserver.cluster.items import BattleCreated, OutboxFilled
from gameserver.cluster.links import EVERYBODY
from gameserver.cluster.wire import encode_item, join_items, pack
from tests.actors.node import T0
from tests.cluster.cluster_stage import clustered

ABC = ("node-a", "node-b", "node-c")


def told_of(client):
    return [message["payload"]["battleId"] for message in client.received if message["event"] == "battle:created"]


async def test_a_new_battle_is_told_once_to_each_connection_on_every_node(autojump_clock):
    async with clustered(*ABC) as cluster:
        clients = [cluster[name].client(f"player on {name}") for name in ABC for _ in range(2)]
        battle = await cluster.battle(cluster.id_on("node-b"))
        await trio.sleep(1)
        assert all(len(client.received) and told(client, battle) == 1 for client in clients)


def told(client, battle):
    return sum(message["event"] == "battle:created" and battle in str(message) for message in client.received)


async def test_the_outbox_is_read_by_exactly_one_node_while_views_agree(autojump_clock):
    async with clustered(*ABC) as cluster:
        await trio.sleep(3)
        cluster.store.outbox_reads.clear()
        for name in ABC:
            await cluster.battle(cluster.id_on(name))
        await trio.sleep(5)
        assert len({node for _, node in cluster.store.outbox_reads}) == 1
        assert len(cluster.store.finished) == len(cluster.store.outbox) > 0


async def test_who_reads_the_outbox_is_told_of_new_rows_at_once(autojump_clock):
    async with clustered(*ABC, journal={"outbox_interval_ms": 60_000}) as cluster:
        await trio.sleep(3)
        for name in ABC:
            await cluster.battle(cluster.id_on(name))
            assert len(cluster.store.finished) == len(cluster.store.outbox)
        assert cluster.hub.heard_items(OutboxFilled)


async def test_when_its_reader_dies_another_node_reads_the_outbox(autojump_clock):
    async with clustered(*ABC) as cluster:
        await trio.sleep(3)
        _, reader = cluster.store.outbox_reads[-1]
        await cluster[reader].kill(lease_ends=True)
        payload = {"battleId": "b", "attacker": "wolves", "defender": "bears"}
        cluster.store.outbox.append(("b", OutboxRow("battle:created", 1, payload)))
        await trio.sleep(5)
        assert len(cluster.store.finished) == len(cluster.store.outbox)
        assert cluster.store.outbox_reads[-1][1] != reader


async def test_a_login_that_was_revoked_is_closed_on_all_nodes(autojump_clock):
    async with clustered(*ABC) as cluster:
        anns = [cluster[name].client("ann") for name in ABC]
        dan = cluster["node-b"].client("dan")
        cluster["node-c"].core.all_sessions.close_session("login of ann")
        await cluster.settle()
        assert all(ann.gone for ann in anns)
        assert not dan.gone


async def test_a_player_who_is_sent_away_is_disconnected_from_all_nodes(autojump_clock):
    async with clustered(*ABC) as cluster:
        anns = [cluster[name].client("ann") for name in ABC]
        dan = cluster["node-b"].client("dan")
        assert cluster["node-a"].core.all_sessions.disconnect("ann") == 1
        await cluster.settle()
        assert all(ann.gone for ann in anns)
        assert not dan.gone


@pytest.mark.parametrize(
    "item",
    [
        ["BattleCreated", "b", ["wolves"], {}],
        ["BattleCreated", 5, [7], 3],
        ["BattleCreated", "b", [], None],
        ["BattleCreated", {}],
        ["LoginRevoked", {}],
        ["PlayerDisconnected", []],
        ["Activated", [], {}],
        ["Watching", [[5, "x"]]],
        ["NotHere", [[]]],
        ["Events", "b", "x", [], [], False],
        ["Events", [], 1, [5], [[1, []]], 7],
        ["Request", 1, 2, 3, "x", 5, [], ["Other", "Show", {}], None, None],
        ["Request", "node-a", 1, 1, False, T0 * 2, False, "b", ["Play", 1, 2, 3], None, None],
        ["Request", "node-a", 1, 1, False, T0 * 2, True, "b", ["Other", "Show", {}], ["ann", "k", 5], ["battle", "x"]],
        ["Response", "x", ["Refusal", [], None, None, None]],
    ],
    ids=str,
)
async def test_what_only_another_version_could_have_said_stops_no_node(autojump_clock, item):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-b"].watcher(battle)
        said = [each if each != "b" else battle for each in item]
        packet = join_items("node-a", [pack(said), encode_item(BattleCreated("c", (), {}))])
        for channel in ("node:node-b", EVERYBODY):
            cluster["node-b"].bus.hear(channel, cluster["node-a"].cluster.links._sealed(channel, packet))
        await trio.sleep(3)
        await cluster["node-a"].do(battle).answer()
        await cluster.settle()
        assert eve.has_seen(battle) == cluster.last_seq(battle)


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b"\xff", b'{"seq":"x","payload":{"battleId":"b","playerId":"eve"}}', b'{"seq":1,"payload":7}'],
)
async def test_what_strangers_publish_on_a_public_channel_stops_nobody(autojump_clock, line):
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = await cluster["node-a"].watcher(battle)
        cluster["node-a"].bus.hear("battle:join", line.replace(b'"b"', f'"{battle}"'.encode()))
        await cluster["node-b"].do(battle).answer()
        await cluster.settle()
        assert eve.has_seen(battle) == cluster.last_seq(battle)


async def test_a_line_that_a_stranger_made_up_shows_nobody_a_battle(autojump_clock):
    """Listeners are invited to the public channels; what they publish there must not count."""
    async with clustered("node-a", "node-b") as cluster:
        battle = await cluster.battle(cluster.id_on("node-b"))
        eve = cluster["node-a"].client("eve")
        forged = f'{{"event":"battle:join","seq":1,"payload":{{"battleId":"{battle}","playerId":"eve"}}}}'
        cluster["node-a"].bus.hear("battle:join", forged.encode())
        await cluster["node-b"].do(battle).answer()
        await trio.sleep(2)
        assert eve.seqs(battle) == []
