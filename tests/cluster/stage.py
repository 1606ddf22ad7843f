"""A node with its gateway and connected clients, without sockets: what a client gets is what it would get by wire."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
import trio.lowlevel
from attrs import Factory, define, field

from gameserver.actors.messages import Message
from gameserver.cluster.gateway import NodeGateway
from gameserver.cluster.leaderboard_feed import LeaderboardFeed
from gameserver.cluster.lifecycle import Lifecycle
from gameserver.cluster.ports import BattleFacts, BattleKnown
from gameserver.cluster.resumes import Resumes
from gameserver.cluster.sessions import Sessions
from gameserver.cluster.watches import Watches
from gameserver.ids import Issuer
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.session import Identified, Session
from tests.actors.node import Node, VirtualClock, running, settings_with
from tests.one_by_one import OneByOne


def unframe(data: bytes) -> list[Any]:
    """The JSON messages of unmasked text frames."""
    messages = []
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size in (126, 127):
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        messages.append(json.loads(data[start : start + size]))
        data = data[start + size :]
    return messages


@define(eq=False)
class FakeConnection:
    sends: list[list[Any]] = Factory(list)
    closed_with: list[CloseCode] = Factory(list)
    bulk: OneByOne = Factory(OneByOne)

    def send(self, frames: bytes) -> None:
        if not self.closed_with:
            assert frames, "nothing is no frame"
            self.sends.append(unframe(frames))

    def close(self, code: CloseCode) -> None:
        self.closed_with.append(code)


@define(eq=False)
class Client:
    """Checks each battle's stream as it comes: after what it was told last, every event, once, in order."""

    session: Session
    connection: FakeConnection
    positions: dict[str, int] = Factory(dict)
    numbers: int = 0
    answered: dict[str, int] = Factory(dict)
    _asked: dict[int, tuple[str, int | None]] = Factory(dict)
    _read: int = 0

    def say(self, event: str, battle_id: str | None = None, **payload: Any) -> int:
        self.numbers += 1
        body = payload if battle_id is None else {"battleId": battle_id, **payload}
        if event == "battle:watch" and battle_id is not None:
            self._asked[self.numbers] = battle_id, payload.get("after")
        self.session.on_text(json.dumps({"event": event, "id": self.numbers, "payload": body}).encode())
        return self.numbers

    def congest(self) -> None:
        """It does not read, and much waits for it."""
        self.session.on_congested()

    def drain(self) -> None:
        self.session.on_drained()

    def raw(self, data: bytes) -> Any:
        """What is said to a text that may be wrong."""
        self.session.flush()
        before = len(self.received)
        self.session.on_text(data)
        self.session.flush()
        return self.received[before]

    @property
    def received(self) -> list[Any]:
        return [message for send in self.connection.sends for message in send]

    def answers(self, number: int) -> list[Any]:
        return [message for message in self.received if message.get("id") == number]

    def seqs(self, battle_id: str) -> list[int]:
        return [
            each["seq"] for each in self.received if each.get("payload") and "seq" in each and battle_id in str(each)
        ]

    def check(self) -> None:
        """Follow what came since the last check."""
        received = self.received
        for message in received[self._read :]:
            self._follow(message)
        self._read = len(received)

    def _follow(self, message: Any) -> None:
        if message["event"] == "reply" and message["id"] in self._asked:
            battle_id, after = self._asked[message["id"]]
            assert message["id"] > self.answered.get(battle_id, 0), "a replaced watch was answered after the later one"
            self.answered[battle_id] = message["id"]
            recovered = message["payload"].get("recovered") is True
            assert recovered or "state" in message["payload"]
            self.positions[battle_id] = after if recovered and after is not None else message["payload"]["seq"]
        elif message["event"] == "error" and message["id"] in self._asked:
            if message["payload"]["code"] != "watch_replaced":
                self.positions.pop(self._asked[message["id"]][0], None)
        elif message["event"] == "battle:state":
            battle_id, seq = message["payload"]["battleId"], message["seq"]
            assert seq > self.positions.get(battle_id, 0), f"{battle_id}: its state at {seq} is old"
            self.positions[battle_id] = seq
        elif "seq" in message:
            battle_id, seq = message["payload"]["battleId"], message["seq"]
            expected = self.positions.get(battle_id, seq - 1) + 1
            assert seq == expected, f"{battle_id}: got {seq} instead of {expected}"
            self.positions[battle_id] = seq


class NobodyElse:
    """Presence, rates, leaderboards and facts of a world where everything is allowed."""

    sides: dict[str, str]

    def __init__(self) -> None:
        self.sides = {"ann": "attacker", "dan": "defender"}

    def connected(self, player_id: str, connection_id: str) -> None: ...

    def disconnected(self, player_id: str, connection_id: str) -> None: ...

    async def take(self, asked: Any) -> list[None]:
        return [None] * len(asked)

    async def give_back(self, unused: Any) -> None: ...

    async def about_battles(self, asked: Any) -> list[BattleKnown]:
        await trio.lowlevel.checkpoint()
        sides = [self.sides.get(each.player_id, "attacker") for each in asked]
        return [BattleKnown(BattleFacts("wolves", "bears", (side,), True)) for side in sides]

    async def top(self, window: str, limit: int) -> list[Any]:
        return []


class LateRouter:
    """Made before the catalog is."""

    node: Node

    def send(self, message: Message) -> None:
        self.node.catalog.deliver(message)


@define(eq=False)
class Stage:
    node: Node
    gateway: NodeGateway
    sessions: Sessions
    watches: Watches
    resumes: Resumes
    clients: list[Client] = field(factory=list)

    def client(self, player: str, instance: int = 1) -> Client:
        connection = FakeConnection()
        identified = Identified(player, f"login of {player}", instance)
        limits = self.node.settings.websocket
        session = Session(identified, connection, self.gateway, self.sessions.outgoing, limits)
        session.on_open()
        session.flush()
        self.clients.append(client := Client(session, connection))
        return client

    async def settle(self) -> None:
        for _ in range(5):
            await self.node.settle()

    async def answer(self, client: Client, number: int) -> Any:
        await self.settle()
        (answer,) = client.answers(number)
        return answer

    async def code(self, client: Client, number: int) -> str:
        answer = await self.answer(client, number)
        return answer["payload"]["code"] if answer["event"] == "error" else f"not refused: {answer}"


@asynccontextmanager
async def staged(**sections: Any) -> AsyncIterator[Stage]:
    sections.setdefault("websocket", {}).setdefault("messages_per_second", 0)
    others, router = NobodyElse(), LateRouter()
    issuer = Issuer(VirtualClock().now_ms, Random(1))
    sessions = Sessions(others, issuer)
    settings = settings_with(**sections)
    watches = Watches(sessions, settings.websocket)
    async with running(then=watches, **sections) as node, trio.open_nursery() as nursery:
        router.node = node
        lifecycle = Lifecycle(router, others, others, settings.guards, settings.actors, issuer)
        feed = LeaderboardFeed(others, sessions, settings.leaderboard)
        resumes = Resumes(node.journal, watches, router.send, settings)
        gateway = NodeGateway(settings, router, lifecycle, sessions, watches, resumes, feed, VirtualClock())
        for task in (lifecycle.run, sessions.run, resumes.run):
            nursery.start_soon(task)
        stage = Stage(node, gateway, sessions, watches, resumes)
        yield stage
        for client in stage.clients:
            client.check()
            client.session.on_close()
        assert len(watches) == len(sessions) == 0
        nursery.cancel_scope.cancel()
