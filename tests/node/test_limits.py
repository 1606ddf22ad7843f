"""Clients without manners are limited, each in its own way, while another player's round trips stay what they were."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from gameserver.client.connection import Connection
from gameserver.codec import decode, encode
from gameserver.errors import Refused
from gameserver.persistence.postgres_journal import PostgresJournal
from tests.net.raw_client import RawClient, connected, text
from tests.node.modes import TIRELESS
from tests.node.running import NodeThread
from tests.node.world import World, eventually, world_of

DEADLINE_S = 10
ROUND_TRIP_S = 2
"""Far above what one takes, and far below what waiting for another client would."""

LIMITS = {
    "outgoing_limit_bytes": 65_536,
    "handshake_deadline_ms": 500,
    "in_flight_limit": 500,
    "messages_per_second": 100_000,
    "messages_burst": 1_000,
}


@pytest.fixture(scope="module")
def node(node_settings):
    with NodeThread(node_settings(websocket=LIMITS, guards={"minimum_duration_ms": 0})) as running:
        yield running


@asynccontextmanager
async def undisturbed(player: Connection) -> AsyncIterator[None]:
    """Fails unless the player is answered, again and again, as long as the block takes."""

    async def keep_asking() -> None:
        while True:
            with trio.fail_after(ROUND_TRIP_S):
                await player.ping()
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_asking)
        yield
        nursery.cancel_scope.cancel()


def bearer(person) -> str:
    return f"Authorization: Bearer {person.token}"


def message(number: int, event: str, battle_id: str, **more) -> bytes:
    return text(encode({"id": number, "event": event, "payload": {"battleId": battle_id, **more}}).decode())


async def connections(world: World) -> int:
    return (await world.stats())["websocket"]["connections"]


async def test_a_client_that_never_reads_is_closed_and_nobody_else_notices(node):
    async with world_of(node) as world:
        duel = await world.duel()
        slow_before = (await world.stats())["websocket"]["slow_consumers_total"]
        async with (
            world.connected(duel.attackers[0]) as player,
            connected(world.websocket_port, "/ws", bearer(duel.defenders[0]), receive_buffer=4_096) as deaf,
            undisturbed(player),
        ):

            async def is_closed() -> bool:
                with suppress(trio.BrokenResourceError):  # more at once than may wait for it cuts it off
                    await deaf.send(b"".join(message(1, "battle:watch", duel.battle_id) for _ in range(200)))
                return (await world.stats())["websocket"]["slow_consumers_total"] > slow_before

            await eventually(is_closed, "the deaf client is closed")
            assert (await player.attack(duel.battle_id))["seq"]
        assert (await world.stats())["websocket"]["bytes_buffered"] == 0


async def test_handshakes_that_never_end_are_ended_and_hold_nobody_up(node):
    async with world_of(node) as world:
        person = await world.person()
        async with world.connected(person) as player, undisturbed(player), trio.open_nursery() as nursery:

            async def dawdle() -> None:
                async with connected(world.websocket_port, handshake=False) as client:
                    await client.send(b"GET /ws HTTP/1.1\r\nHost: game\r\nUpgrade: ")
                    with trio.fail_after(DEADLINE_S):
                        assert await client.stream.receive_some() == b""

            for _ in range(20):
                nursery.start_soon(dawdle)
            await eventually(lambda: _equals(world, 21), "all dawdlers are connected")
        await eventually(lambda: _equals(world, 0), "all connections are gone")


async def _equals(world: World, count: int) -> bool:
    return await connections(world) == count


async def test_a_flood_is_refused_then_cut_off_and_nobody_else_notices(node_settings):
    with NodeThread(node_settings(websocket={"messages_per_second": 5, "messages_burst": 20})) as running:
        async with world_of(running) as world:
            duel = await world.duel()
            async with connected(world.websocket_port, "/ws", bearer(duel.attackers[0])) as flooder:
                for number in range(100):
                    await flooder.send(message(number, "battle:guard", duel.battle_id))
                errors = []
                with trio.fail_after(DEADLINE_S):
                    while True:
                        opcode, data = await flooder.frame()
                        if opcode == 8:
                            break
                        if decode(data)["event"] == "error":
                            errors.append(decode(data)["payload"])
                assert int.from_bytes(data[:2], "big") == 4003
            limited = [error for error in errors if error["code"] == "rate_limited"]
            assert limited
            assert all(error["retryable"] for error in limited)
            async with world.connected(duel.defenders[0]) as player:
                assert (await player.attack(duel.battle_id))["seq"]


async def test_beyond_so_many_unanswered_commands_the_next_are_refused_and_can_be_tried_again(
    node_settings, monkeypatch
):
    append, may_write = PostgresJournal.append, threading.Event()

    async def hesitate(journal, entries):
        while not may_write.is_set():
            await trio.sleep(0.005)
        return await append(journal, entries)

    with NodeThread(node_settings(websocket={"in_flight_limit": 4}), [TIRELESS]) as running:
        async with world_of(running) as world:
            duel = await world.duel(mode="tireless")
            monkeypatch.setattr(PostgresJournal, "append", hesitate)
            async with connected(world.websocket_port, "/ws", bearer(duel.attackers[0])) as client:
                await client.send(b"".join(message(number, "battle:attack", duel.battle_id) for number in range(7)))
                refused = [await answer(client) for _ in range(3)]
                assert [(each["id"], each["payload"]["code"]) for each in refused] == [
                    (number, "too_many_in_flight") for number in (4, 5, 6)
                ]
                may_write.set()
                assert [(await answer(client))["id"] for _ in range(4)] == [0, 1, 2, 3]
                await client.send(b"".join(message(number, "battle:attack", duel.battle_id) for number in (4, 5, 6)))
                again = [await answer(client) for _ in range(3)]
                assert [(each["event"], each["id"]) for each in again] == [("reply", 4), ("reply", 5), ("reply", 6)]


async def answer(client: RawClient) -> Any:
    """The next reply or error; what else is pushed meanwhile is passed over."""
    with trio.fail_after(DEADLINE_S):
        while True:
            _, data = await client.frame()
            if decode(data)["event"] in ("reply", "error"):
                return decode(data)


async def test_a_connection_watches_so_many_battles_and_one_that_is_over_makes_room(node_settings):
    with NodeThread(node_settings(websocket={"watches_limit": 2})) as running:
        async with world_of(running) as world:
            duels = [await world.duel() for _ in range(3)]
            async with world.connected(await world.person()) as player:
                for duel in duels[:2]:
                    await player.watch(duel.battle_id)
                with pytest.raises(Refused, match="too_many_watches"):
                    await player.watch(duels[2].battle_id)
                await world.finish(duels[0])
                assert (await player.watch(duels[2].battle_id))["state"]["state"] == "running"
