import json
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve

from gameserver.client.connection import connect
from gameserver.client.errors import Disconnected, Unreachable
from gameserver.client.limits import ConnectionLimits
from gameserver.config import Settings
from gameserver.errors import Refused
from gameserver.net.edge import EdgeCounters
from gameserver.net.handshake import Admission
from gameserver.net.trio_websocket_edge import serve_trio_websocket as serve_websocket
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.frames import text_frame


class Game:
    """The other side of the wire, as far as a client can tell. It answers by the battle's ID."""

    def __init__(self, admission, connection):
        self.admission, self.connection, self.heard = admission, connection, []

    def say(self, **message):
        self.connection.send(text_frame(json.dumps(message).encode()))

    def on_open(self):
        instance = self.admission.instance or 99
        hello = {"playerId": "ada", "instance": instance, "node": "node-0", "serverTimeMs": 5}
        self.say(event="hello", payload=hello)
        self.say(event="leaderboard", payload=[])

    def on_text(self, data):
        message = json.loads(data)
        self.heard.append(message)
        number, battle = message["id"], message["payload"].get("battleId")
        if battle == "refused":
            problem = {"code": "no_energy", "message": "Rest!", "retryable": False, "retryAfterMs": 700}
            self.say(event="error", id=number, payload=problem)
        elif battle == "closed":
            self.connection.close(CloseCode.SESSION_REVOKED)
        elif battle == "loud":
            for seq in range(50):
                self.say(event="battle:attack", seq=seq, payload={"battleId": battle})
            self.say(event="reply", id=number, payload={})
        elif battle != "silent":
            self.say(event="battle:attack", seq=number, payload={"battleId": battle})
            self.say(event="reply", id=number, payload={"seq": number})

    def on_congested(self):
        pass

    def on_drained(self):
        pass

    def on_close(self):
        pass


def door(opening):
    if opening.header(b"authorization") != "Bearer good":
        raise Refused("token_expired")
    instance = opening.target.partition("instance=")[2]
    return Admission("ada", "session-1", 4_000_000_000, int(instance) if instance else None, None)


@asynccontextmanager
async def playing():
    games = []

    def open_endpoint(admission, connection):
        games.append(Game(admission, connection))
        return games[-1]

    settings = evolve(Settings().websocket, port=0, close_deadline_ms=200)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve_websocket, settings, door, open_endpoint, EdgeCounters())
            yield f"ws://127.0.0.1:{port}/ws", games
            nursery.cancel_scope.cancel()


async def test_commands_get_their_replies_and_events_come_in_order():
    async with playing() as (url, games), connect(url, "good") as player:
        assert (player.hello.player_id, player.hello.instance, player.hello.node) == ("ada", 99, "node-0")
        assert await player.attack("b1") == {"seq": 1}
        assert await player.cheer("b1", "grace") == {"seq": 2}
        await player.watch("b1", after=40)
        assert [message["id"] for message in games[0].heard] == [1, 2, 3]
        assert games[0].heard[1] == {
            "id": 2,
            "event": "battle:cheer",
            "payload": {"battleId": "b1", "targetId": "grace"},
        }
        assert games[0].heard[2]["payload"] == {"battleId": "b1", "after": 40}
        names = []
        async for event in player.events():
            names.append((event["event"], event.get("seq")))
            if len(names) == 4:
                break
        assert names == [("leaderboard", None), *(("battle:attack", seq) for seq in (1, 2, 3))]


async def test_a_refusal_is_raised():
    async with playing() as (url, _), connect(url, "good") as player:
        with pytest.raises(Refused) as caught:
            await player.guard("refused")
        assert (caught.value.code, caught.value.message, caught.value.retry_after_ms) == ("no_energy", "Rest!", 700)
        await player.guard("b1")


async def test_a_refused_handshake_says_why():
    async with playing() as (url, _):
        with pytest.raises(Refused, match="token_expired"):
            async with connect(url, "bad"):
                pass


async def test_who_comes_back_keeps_instance_and_ids():
    async with playing() as (url, games):
        async with connect(url, "good", instance=7, last_id=41) as player:
            assert player.hello.instance == 7
            assert await player.attack("b1") == {"seq": 42}
            assert await player.command("battle:attack", {"battleId": "b1"}, command_id=40) == {"seq": 40}
            assert player.last_id == 42
        assert games[0].admission.instance == 7


async def test_no_answer_in_time():
    limits = ConnectionLimits(command_deadline_ms=100)
    async with playing() as (url, _), connect(url, "good", limits=limits) as player:
        with pytest.raises(Refused, match="deadline_exceeded"):
            await player.attack("silent")
        await player.attack("b1")


async def test_a_lost_connection_ends_commands_and_events():
    async with playing() as (url, _), connect(url, "good") as player:
        with pytest.raises(Disconnected) as caught:
            await player.attack("closed")
        assert (caught.value.code, caught.value.come_back) == (4500, False)
        assert [event["event"] async for event in player.events()] == ["leaderboard"]
        with pytest.raises(Disconnected):
            await player.attack("b1")
        assert player.lost is not None


async def test_events_that_nobody_reads_end_the_connection():
    async with playing() as (url, _), connect(url, "good", limits=ConnectionLimits(events=10)) as player:
        with pytest.raises(Disconnected, match="waiting to be read"):
            await player.attack("loud")


async def test_events_may_go_to_a_callback():
    seen = []
    async with (
        playing() as (url, _),
        connect(url, "good", on_event=seen.append, limits=ConnectionLimits(events=10)) as player,
    ):
        await player.attack("loud")
        assert [event.get("seq") for event in seen] == [None, *range(50)]


async def test_errors_of_the_body_come_out_as_they_are():
    async with playing() as (url, _):
        with pytest.raises(LookupError, match="mine"):
            async with connect(url, "good"):
                raise LookupError("mine")


async def test_nobody_there():
    with pytest.raises(Unreachable):
        async with connect("ws://127.0.0.1:1/ws", "good"):
            pass


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0 hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"])
async def test_somebody_else_there_is_found_out_without_waiting_for_the_deadline(answer):
    async def serve(stream):
        await stream.receive_some(1_000)
        if answer:
            await stream.send_all(answer)
        await stream.aclose()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises((Unreachable, Refused)):
                async with connect(f"ws://127.0.0.1:{port}/ws", "good"):
                    pass
            nursery.cancel_scope.cancel()
