"""The server as a client sees it, without a network and on the virtual clock: nodes by URL, all of one game."""

import json
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from math import inf

import trio
from attrs import Factory, define
from trio_websocket import CloseReason, ConnectionClosed

from gameserver.client.connection import conversing
from gameserver.client.errors import Unreachable
from gameserver.errors import CODES, Refused

ONE, TWO, THREE = "ws://one", "ws://two", "ws://three"


@define(eq=False)
class Battle:
    events: list = Factory(list)
    kept_from: int = 1
    """The first event that the server still has."""
    highest: int = 0
    outcomes: dict = Factory(dict)

    @property
    def last_seq(self):
        return len(self.events)


class Wire:
    """What a Connection takes for its WebSocket."""

    def __init__(self, game, url, instance):
        self.game, self.url, self.instance = game, url, instance
        self._out, self._in = trio.open_memory_channel(inf)
        self.reason = None
        self.is_open = True
        self.latency_s = 0
        self.positions = {}
        """Battle ID → last seq sent."""

    async def send_message(self, message):
        await trio.lowlevel.checkpoint()
        if not self.is_open:
            raise ConnectionClosed(self.reason)
        self.game.hear(self, json.loads(message))

    async def get_message(self):
        try:
            message = await self._in.receive()
        except trio.EndOfChannel:
            raise ConnectionClosed(self.reason) from None
        await trio.sleep(self.latency_s + (self.game.latency_s() if self.game.latency_s else 0))
        return message

    async def aclose(self):
        await trio.lowlevel.checkpoint()
        self.cut(1000)

    def say(self, **message):
        if self.is_open and not self.game.silent and self.url not in self.game.frozen:
            self._out.send_nowait(json.dumps(message))

    def cut(self, code=None, *, lost=0):
        """Of what is on its way, the last `lost` messages never arrive."""
        if not self.is_open:
            return
        self.is_open = False
        self.reason = CloseReason(code, "so it goes") if code else None
        messages = []
        while self._in.statistics().current_buffer_used:
            messages.append(self._in.receive_nowait())
        for message in messages[: len(messages) - lost]:
            self._out.send_nowait(message)
        self._out.close()


class FakeGame:
    def __init__(self):
        self.battles = defaultdict(Battle)
        self.up = {ONE, TWO, THREE}
        self.dialled = []
        """(time, url, token, instance) of each try."""
        self.wires = []
        self.heard = []
        """(url, event, id) of every message."""
        self.refusals = deque()
        """Refused with these, in order, before anything is run."""
        self.door = lambda url, token: None
        self.unanswered = 0
        """So many commands take effect, and then their connection breaks before the answer."""
        self.silent = False
        self.stalled = False
        """Nothing is committed, and so nothing is answered but a ping."""
        self.frozen = set()
        """URLs of nodes that hang, and may say nothing."""
        self.latency_s = None

    @asynccontextmanager
    async def dial(self, url, token, instance=None, *, on_event=None, limits=None):
        self.dialled.append((trio.current_time(), url, token, instance))
        await trio.lowlevel.checkpoint()
        if url not in self.up:
            raise Unreachable(url)
        self.door(url, token)
        wire = Wire(self, url, instance or 7)
        self.wires.append(wire)
        hello = {"playerId": "ada", "instance": wire.instance, "node": url, "serverTimeMs": 5}
        wire.say(event="hello", payload=hello)
        async with conversing(wire, 0, on_event, limits) as connection:
            yield connection

    @property
    def open_wires(self):
        return [wire for wire in self.wires if wire.is_open]

    @property
    def wire(self):
        (wire,) = self.open_wires
        return wire

    # -- what happens -------------------------------------------------------------------------------------------------

    def happen(self, battle_id, event="battle:attack", **payload):
        battle = self.battles[battle_id]
        seq = battle.last_seq + 1
        battle.events.append({"event": event, "seq": seq, "payload": {"battleId": battle_id, **payload}})
        for wire in self.open_wires:
            if battle_id in wire.positions:
                self.send_up_to(wire, battle_id, seq)
        return seq

    def send_up_to(self, wire, battle_id, seq):
        for event in self.battles[battle_id].events[wire.positions[battle_id] : seq]:
            wire.say(**event)
        wire.positions[battle_id] = seq

    def collapse(self, battle_id, missed):
        """So much happens that nobody is sent, but the state in its stead."""
        wires = {wire: wire.positions.pop(battle_id) for wire in self.open_wires if battle_id in wire.positions}
        for _ in range(missed):
            self.happen(battle_id)
        seq = self.battles[battle_id].last_seq
        payload = {"battleId": battle_id, "state": {"state": "running", "at": seq}}
        for wire in wires:
            wire.say(event="battle:state", seq=seq, payload=payload)
            wire.positions[battle_id] = seq

    # -- what a client asks -------------------------------------------------------------------------------------------

    def hear(self, wire, message):
        event, number, payload = message["event"], message["id"], message["payload"]
        self.heard.append((wire.url, event, number))
        if self.stalled and event != "ping":
            return
        try:
            if self.refusals and event != "ping" and event != "battle:watch":
                raise self.refusals.popleft()
            self.answer(wire, event, number, payload)
        except Refused as refused:
            problem = {"code": refused.code, "message": refused.message, "retryable": CODES[refused.code].retryable}
            if refused.retry_after_ms is not None:
                problem["retryAfterMs"] = refused.retry_after_ms
            if refused.websocket_url:
                problem["websocketUrl"] = refused.websocket_url
            wire.say(event="error", id=number, payload=problem)

    def answer(self, wire, event, number, payload):
        if event == "ping":
            wire.say(event="reply", id=number, payload={"serverTimeMs": 5})
        elif event == "battle:watch":
            self.watch(wire, number, payload["battleId"], payload.get("after"))
        else:
            seq = self.run(wire, event, number, payload["battleId"])
            if self.unanswered:
                self.unanswered -= 1
                wire.cut(lost=1)
            else:
                wire.say(event="reply", id=number, payload={"seq": seq})

    def run(self, wire, event, number, battle_id):
        """Once, as the server does it: an ID below that of a command that has run is too old."""
        battle = self.battles[battle_id]
        if number in battle.outcomes:
            return battle.outcomes[number]
        if number <= battle.highest:
            raise Refused("command_expired")
        battle.highest = number
        if event == "battle:join":
            wire.positions.setdefault(battle_id, battle.last_seq)
        battle.outcomes[number] = seq = self.happen(battle_id, event, by=number)
        return seq

    def watch(self, wire, number, battle_id, after):
        if battle_id == "nowhere":
            raise Refused("battle_not_found")
        battle = self.battles[battle_id]
        seq = battle.last_seq
        state = {"seq": seq, "state": {"state": "running", "at": seq}}
        if after is None or after > seq:
            wire.positions[battle_id] = seq
            wire.say(event="reply", id=number, payload=state)
        elif after < seq and after + 1 < battle.kept_from:
            wire.positions[battle_id] = seq
            wire.say(event="reply", id=number, payload={**state, "recovered": False})
        else:
            wire.positions[battle_id] = after
            wire.say(event="reply", id=number, payload={"seq": seq, "recovered": True})
            self.send_up_to(wire, battle_id, seq)
