"""A client that does not read for a while: its answers wait for it, its events do not, and it misses none of them."""

from contextlib import asynccontextmanager

import pytest
import trio

from gameserver.client.connection import Connection
from gameserver.codec import decode, encode
from tests.net.raw_client import RawClient, connected, text
from tests.node.modes import LOUD
from tests.node.running import NodeThread
from tests.node.world import Duel, World, world_of

DEADLINE_S = 30
SHOUT = "x" * 40_000
CONGESTION_BYTES = 65_536


@pytest.fixture(params=["hub", "trio-websocket"])
def edge(request):
    return request.param


@asynccontextmanager
async def slow_duel(node_settings, edge, **limits):
    """A world, a duel, its attacker, and its defender, who watches, reads no more from then on, and is congested."""
    websocket = {"edge": edge, "congestion_bytes": CONGESTION_BYTES, "messages_per_second": 0, **limits}
    with NodeThread(node_settings(websocket=websocket), [LOUD]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="loud")
            bearer = f"Authorization: Bearer {duel.defenders[0].token}"
            async with (
                world.connected(duel.attackers[0]) as player,
                connected(world.websocket_port, "/ws", bearer, receive_buffer=4_096) as slow,
            ):
                await slow.send(message(1, "battle:watch", duel))
                with trio.fail_after(DEADLINE_S):
                    while (await said(slow)).get("id") != 1:
                        pass
                    while await waiting_bytes(world) <= CONGESTION_BYTES:
                        await shout(player, duel)
                    yield world, duel, player, slow


def message(number: int, event: str, duel: Duel) -> bytes:
    return text(encode({"id": number, "event": event, "payload": {"battleId": duel.battle_id}}).decode())


async def said(client: RawClient) -> dict:
    return decode((await client.frame())[1])


async def waiting_bytes(world: World) -> int:
    return (await world.stats())["websocket"]["bytes_buffered"]


async def shout(player: Connection, duel: Duel, times: int = 1) -> int:
    """The seq of the last one."""
    seq = 0
    for _ in range(times):
        seq = (await player.command("battle:shout", {"battleId": duel.battle_id, "text": SHOUT}))["seq"]
    return seq


async def read_up_to(client: RawClient, seq: int, replies: int = 0) -> list[dict]:
    """All that is said until this event and so many replies have come."""
    heard = []
    while seq not in [each.get("seq") for each in heard] or replies > len(replies_in(heard)):
        heard.append(await said(client))
    return heard


def replies_in(heard: list[dict]) -> list[dict]:
    return [each for each in heard if each["event"] == "reply"]


async def test_a_client_that_did_not_read_for_a_while_gets_each_event_once_and_in_order(node_settings, edge):
    async with slow_duel(node_settings, edge) as (world, duel, player, slow):
        before = await waiting_bytes(world)
        last = await shout(player, duel, 20)
        assert await waiting_bytes(world) < before + len(SHOUT)
        heard = await read_up_to(slow, last)
        seqs = [each["seq"] for each in heard if "seq" in each]
        assert seqs == list(range(seqs[0], last + 1))
        assert not any(each["event"] == "battle:state" for each in heard)
        assert await waiting_bytes(world) == 0


async def test_answers_wait_for_a_slow_client_and_none_of_them_is_lost(node_settings, edge):
    async with slow_duel(node_settings, edge) as (_, duel, player, slow):
        numbers = list(range(2, 42))
        await slow.send(b"".join(message(number, "battle:attack", duel) for number in numbers))
        last = await shout(player, duel, 3)
        heard = await read_up_to(slow, last, replies=len(numbers))
        assert [each["id"] for each in replies_in(heard)] == numbers
        seqs = [each["seq"] for each in heard if "seq" in each]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))


async def test_a_client_that_has_missed_too_much_gets_the_state_and_then_what_follows(node_settings, edge):
    async with slow_duel(node_settings, edge, recent_limit=4, collapse_events=4) as (_, duel, player, slow):
        last = await shout(player, duel, 20)
        heard = await read_up_to(slow, last)
        heard += await read_up_to(slow, await shout(player, duel, 2))
        (state,) = [each for each in heard if each["event"] == "battle:state"]
        assert state["payload"]["battleId"] == duel.battle_id
        assert state["payload"]["state"]["state"] == "running"
        seqs = [each["seq"] for each in heard if "seq" in each]
        at = seqs.index(state["seq"])
        assert seqs[:at] == list(range(seqs[0], seqs[0] + at))
        assert seqs[at] - seqs[at - 1] > 4
        assert seqs[at:] == list(range(state["seq"], last + 3))
