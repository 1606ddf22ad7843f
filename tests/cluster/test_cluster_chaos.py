"""Nodes die, hang, stop and come, words get lost between them: what was acknowledged ran once, and is seen by all."""

import random

import pytest
import trio

from gameserver.actors.ports import Accepted
from gameserver.errors import Refused
from tests.cluster.cluster_ports import LOST
from tests.cluster.cluster_stage import clustered

NAMES = ("node-a", "node-b", "node-c")


class Player:
    """Sends one command after the other, from any living node, and each again until it is answered for good."""

    def __init__(self, cluster, battle, instance, chance):
        self.cluster, self.battle, self.instance, self.chance = cluster, battle, instance, chance
        self.number, self.stopped, self.done = 0, False, trio.Event()

    async def play(self):
        while not self.stopped:
            self.number += 1
            await self._hit(f"{self.instance} {self.number}")
            await trio.sleep(self.chance.random() / 4)
        self.done.set()

    async def _hit(self, what):
        for _ in range(400):
            node = self.chance.choice(self.cluster.living)
            answer = await self._answer(node, what)
            if isinstance(answer, Accepted):
                return
            assert answer is None or answer.retryable, answer
            await trio.sleep(0.1)
        raise AssertionError(f"{what} was never answered")

    async def _answer(self, node, what):
        """None if the node died before it answered."""
        asked = node.do(self.battle, what, self.number, self.instance)
        while node.alive and not asked.answered:
            await trio.sleep(0.05)
        answer = asked.answers[0] if asked.answered else None
        return None if isinstance(answer, Refused) and not node.alive else answer


class Spectator:
    """Comes back, to any living node, whenever it was sent away, and goes on from what it has seen."""

    def __init__(self, cluster, battle, chance):
        self.cluster, self.battle, self.chance = cluster, battle, chance
        self.client, self.seen, self.asked, self.stopped = None, None, 0, False

    async def watch(self):
        while not self.stopped:
            if self.client is None or self.client.gone or not self.client.node.alive:
                self.come_back()
            elif any(answer["event"] == "error" for answer in self.client.answers(self.asked)):
                self.ask()
            self.seen = self.client.has_seen(self.battle) or self.seen
            await trio.sleep(0.3)

    def come_back(self):
        self.client = self.chance.choice(self.cluster.living).client("eve", self.chance.randrange(1 << 30))
        self.ask()

    def ask(self):
        after = {} if self.seen is None else {"after": self.seen}
        self.asked = self.client.say("battle:watch", self.battle, **after)


async def disturb(cluster, chance):
    """One misfortune, and its end."""
    node = chance.choice(cluster.living)
    match chance.choice(["kill", "kill", "stop", "hang", "bus", "directory", "storage", "loss"]):
        case "kill" if len(cluster.living) > 1:
            await node.kill(lease_ends=chance.random() < 0.5)
            await trio.sleep(chance.random() * 4)
            await cluster.start(node.name)
        case "stop" if len(cluster.living) > 1:
            await node.stop()
            await trio.sleep(chance.random() * 4)
            await cluster.start(node.name)
        case "hang":
            node.gate.close()
            await trio.sleep(chance.random() * 14)
            node.gate.open()
        case "bus":
            node.bus.cut()
            await trio.sleep(chance.random() * 4)
            node.bus.heal()
        case "directory":
            cluster.board.wipe()
            node.directory.away = True
            await trio.sleep(chance.random() * 4)
            node.directory.away = False
        case "storage":
            node.storage.away = True
            await trio.sleep(chance.random() * 4)
            node.storage.away = False
        case _:
            cluster.hub.rule = lambda *_: chance.choice([LOST, "twice", 0.0, 0.05])
            await trio.sleep(chance.random() * 4)
            cluster.hub.rule = lambda *_: 0.0


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_to_the_nodes_each_command_runs_once(autojump_clock, seed):
    chance = random.Random(seed)
    async with clustered(*NAMES) as cluster:
        battles = [await cluster.battle(cluster.id_on(name)) for name in NAMES]
        players = [Player(cluster, battle, 10 + number, chance) for battle in battles for number in range(2)]
        spectators = [Spectator(cluster, battle, chance) for battle in battles for _ in range(2)]
        for task in (*(each.play for each in players), *(each.watch for each in spectators)):
            cluster.nursery.start_soon(task)
        for _ in range(6):
            await disturb(cluster, chance)
            await trio.sleep(chance.random() * 3)
        for player in players:
            player.stopped = True
        for player in players:
            with trio.fail_after(60):
                await player.done.wait()
        await cluster.met()
        await trio.sleep(12)
        for player in players:
            done = await cluster.living[0].done(player.battle)
            mine = [what for what in done if what.split()[0] == str(player.instance)]
            assert mine == [f"{player.instance} {number}" for number in range(1, player.number + 1)]
        for spectator in spectators:
            spectator.stopped = True
            assert spectator.seen == cluster.last_seq(spectator.battle)
