"""A node of a cluster in one process, and its clients: real parts over ports in memory."""

from typing import TYPE_CHECKING, Any

import trio
import trio.lowlevel
from attrs import Factory, define, field

from gameserver import main
from gameserver.actors.messages import Birth, Message, Play, Show, ignore
from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.cluster.requests import Requested
from gameserver.codec import encode
from gameserver.config import Settings
from gameserver.ids import CommandId, Identity
from gameserver.node import Cluster, Core
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.session import Identified, Session
from tests.actors.node import Asked
from tests.cluster.cluster_machine import Gate, WallClock
from tests.cluster.cluster_redis import FaultyBus, GatedDirectory, NothingElse
from tests.cluster.cluster_storage import LeasedJournal, MemoryFacts, StorageOfNode
from tests.cluster.stage import Client, FakeConnection

if TYPE_CHECKING:
    from tests.cluster.cluster_stage import ClusterStage


@define(eq=False)
class HangingUpConnection(FakeConnection):
    """Ends the session a moment after it was closed, as a transport does."""

    session: Session | None = None

    def close(self, code: CloseCode) -> None:
        if not self.closed_with:
            trio.lowlevel.current_trio_token().run_sync_soon(self.hang_up)
        super().close(code)

    def hang_up(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.on_close()


@define(eq=False)
class ClientOfNode(Client):
    node: "ClusterNode" = field(kw_only=True)

    @property
    def gone(self) -> bool:
        return self.connection.session is None

    async def answer(self, number: int, within_s: float = 10) -> Any:
        with trio.fail_after(within_s):
            while not self.answers(number):
                await trio.sleep(0.01)
        (answer,) = self.answers(number)
        return answer

    async def ask(self, event: str, battle_id: str | None = None, **payload: Any) -> Any:
        return await self.answer(self.say(event, battle_id, **payload))

    async def code(self, event: str, battle_id: str | None = None, **payload: Any) -> str:
        answer = await self.ask(event, battle_id, **payload)
        return answer["payload"]["code"] if answer["event"] == "error" else f"not refused: {answer}"

    def do(self, battle_id: str, what: str = "hit", **payload: Any) -> int:
        return self.say("battle:do", battle_id, what=what, **payload)

    def has_seen(self, battle_id: str) -> int:
        """The seq of the last event that came, after a check of all that came before it."""
        self.check()
        return self.positions.get(battle_id, 0)

    def hang_up(self) -> None:
        self.connection.hang_up()

    def check_answers(self) -> None:
        for number in range(1, self.numbers + 1):
            assert len(self.answers(number)) == 1, f"{number} got {self.answers(number)}"


@define(eq=False)
class ClusterNode:
    name: str
    stage: "ClusterStage"
    settings: Settings
    gate: Gate
    storage: StorageOfNode
    keeper: LeaseKeeper
    journal: LeasedJournal
    wall: WallClock
    bus: FaultyBus
    directory: GatedDirectory
    facts: MemoryFacts
    others: NothingElse
    cluster: Cluster
    core: Core
    cancel: trio.CancelScope = Factory(trio.CancelScope)
    over: trio.Event = Factory(trio.Event)
    nursery: trio.Nursery = field(init=False)
    alive: bool = True
    clients: list[ClientOfNode] = Factory(list)
    asked: list[Asked] = Factory(list)
    instance: int = 1
    numbers: dict[str, int] = Factory(dict)

    # -- what it is asked ---------------------------------------------------------------------------------------------

    def tell(
        self,
        actor_id: str,
        command: Any,
        identity: Identity | None = None,
        birth: Birth | None = None,
        within_s: float = 5,
        *,
        watching: bool = False,
    ) -> Asked:
        """Through the node's router, as its edges do."""
        message = Message(actor_id, command, ignore, trio.current_time() + within_s, identity, birth, watching)
        message.reply = asked = Asked(message, self.stage.store)
        self.asked.append(asked)
        self.core.router.send(message)
        return asked

    async def ask(self, actor_id: str, command: Any, *args: Any, **options: Any) -> Any:
        return await self.tell(actor_id, command, *args, **options).answer()

    def do(
        self, battle_id: str, what: str = "hit", number: int | None = None, instance: int | None = None, **payload: Any
    ) -> Asked:
        """The nasty mode's command, from Ann: each node is an instance of hers, with numbers of its own."""
        if number is None:
            number = self.numbers[battle_id] = self.numbers.get(battle_id, 0) + 1
        play = Play("battle:do", encode({"battleId": battle_id, "what": what, **payload}), "ann")
        identity = CommandId("ann", instance or self.instance, number)
        return self.tell(battle_id, play, identity)

    async def done(self, battle_id: str) -> list[str]:
        """What the nasty battle's state remembers."""
        return (await self.ask(battle_id, Show("battle"))).view["play"]["done"]

    def client(self, player: str, instance: int = 1) -> ClientOfNode:
        connection = HangingUpConnection()
        identified = Identified(player, f"login of {player}", instance)
        gateway, outgoing = self.core.gateway, self.core.sessions.outgoing
        session = connection.session = Session(identified, connection, gateway, outgoing, self.settings.websocket)
        session.on_open()
        session.flush()
        self.clients.append(client := ClientOfNode(session, connection, node=self))
        return client

    async def watcher(self, battle_id: str, player: str = "eve", instance: int = 1) -> ClientOfNode:
        """A client that watches the battle from its present state on."""
        client = self.client(player, instance)
        answer = await client.ask("battle:watch", battle_id)
        assert answer["event"] == "reply", answer
        return client

    # -- what it knows ------------------------------------------------------------------------------------------------

    def holds(self, actor_id: str) -> bool:
        return self.core.catalog.holds(actor_id)

    def sees(self) -> dict[str, str]:
        return {name: member.status for name, member in self.cluster.membership.view.members.items()}

    @property
    def version(self) -> int:
        return self.cluster.membership.view.version

    # -- what happens to it -------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self.cancel:
                self.stage.on_run(self)
                async with trio.open_nursery() as nursery:
                    self.nursery = nursery
                    await nursery.start(self.keeper.run)
                    cache = self.stage.caches[self]
                    await main._start(nursery, self.settings, self._storage(), cache, self.cluster, self.core)
                    self.cluster.myself.websocket_url = f"ws://{self.name}"
                    self.cluster.membership.look()
                    task_status.started()
        finally:
            self.over.set()

    def _storage(self) -> Any:
        return self.stage.storages[self]

    async def kill(self, *, lease_ends: bool = False) -> None:
        """`kill -9`: nothing more is done or said. Its lease goes on, unless that ends, too."""
        self.alive = False
        self.gate.close()
        for client in self.clients:
            client.check()
            client.connection.closed_with.append(CloseCode.MISSED_EVENTS)
        self.bus.leave()
        self.cancel.cancel()
        if lease_ends:
            self.end_lease()
        await self.over.wait()

    def end_lease(self) -> None:
        """Others may take what it owned."""
        self.stage.store.leases.discard(self.name)

    async def stop(self) -> None:
        """As SIGTERM does."""
        for client in self.clients:
            client.check()
            client.hang_up()
        await main._stop(self.settings, self._storage(), self.cluster, self.core)
        assert self.core.catalog.active == 0
        self.alive = False
        self.check_replies()
        self.cancel.cancel()
        await self.over.wait()
        self.bus.leave()

    def check_replies(self) -> None:
        """But for what other nodes were just asked when this one stopped: its clients have gone by then."""
        asked_of_others = [asked.message for asked in self.cluster.requests._asked.values()]
        for asked in (*self.asked, *getattr(self.core.catalog, "asked", [])):
            excused = isinstance(asked.message, Requested) or any(asked.message is each for each in asked_of_others)
            assert asked.answered or excused, f"{self.name}: {asked.message.command} got no reply"
