"""All actors of this node: get or activate, supervise, passivate, wake.

Each actor has a cell: a mailbox, and one supervised task that gives it one life after another. A message for an actor
that is not in memory makes the cell, and waits in its mailbox while the actor is restored. What ends a life:

- passivation: idle for long and nothing in flight; snapshot, release, and the cell goes;
- abandonment: its commit did not land; the next message restores it from what is durable;
- a crash: it comes back after a pause; too many in a period and it is set aside, until an operator lets it back;
- a hand-over: like passivation, but no message is taken any more; those who wait are passed on to the next owner;
- a refused activation (set aside, storage away): all who wait are told why; if the actor is owned elsewhere, or its
  rules are known elsewhere only, they are passed on.

Other actors never notice. A cell's task never ends with messages in its mailbox: each gets its reply.
"""

from collections.abc import Iterator

import structlog
import trio
from attrs import define

from gameserver.actors.activation import restore, take_ownership
from gameserver.actors.actor import Actor, Surroundings
from gameserver.actors.alarms import Alarms
from gameserver.actors.cell import Cell
from gameserver.actors.committer import Committer
from gameserver.actors.kinds import Kinds
from gameserver.actors.mailbox import Mailbox
from gameserver.actors.messages import Birth, Message, Passivate, Wake, internal
from gameserver.actors.neighbours import Alone, Neighbours
from gameserver.actors.ports import Clock, Journal, Snapshot
from gameserver.actors.referee import StateBroken
from gameserver.actors.refusals import refusal
from gameserver.actors.restarts import Restarts
from gameserver.actors.sweeper import Sweeper
from gameserver.actors.waker import Waker
from gameserver.config import ActorSettings, CommandSettings
from gameserver.errors import (
    ActorNotFound,
    ActorSetAside,
    JournalError,
    OwnedElsewhere,
    Refused,
    RulesUnknown,
)
from gameserver.turns import in_turns

log = structlog.get_logger()


@define
class CatalogCounters:
    activated: int = 0
    passivated: int = 0
    abandoned: int = 0
    handed_over: int = 0
    crashed: int = 0
    set_aside: int = 0
    refused_overloaded: int = 0


class Catalog:
    """`deliver` never blocks. `run` holds the tasks of all actors; when it is cancelled they are gone."""

    def __init__(
        self,
        journal: Journal,
        committer: Committer,
        kinds: Kinds,
        clock: Clock,
        limits: ActorSettings,
        commands: CommandSettings,
    ) -> None:
        self._journal, self._committer, self._kinds = journal, committer, kinds
        self._clock, self._limits, self._commands = clock, limits, commands
        self._cells: dict[str, Cell] = {}
        self._restarts = Restarts(limits)
        self._alarms = Alarms(self._ring)
        self._around = Surroundings(committer, self._alarms, clock, self._send, self._save_soon, limits)
        self._activating = trio.CapacityLimiter(limits.activations_limit)
        self._releasing = trio.CapacityLimiter(limits.activations_limit)
        self._nursery: trio.Nursery | None = None
        self._neighbours: Neighbours = Alone(self.deliver)
        self._stopping = False
        self.counters = CatalogCounters()

    def join(self, neighbours: Neighbours) -> None:
        """This node is not alone; before `run`."""
        self._neighbours = neighbours

    # -- messages -------------------------------------------------------------------------------------------------

    def deliver(self, message: Message) -> None:
        """Put a message into its actor's mailbox; its reply is called exactly once, in any case."""
        if self.deliver_if_held(message):
            return
        if self._nursery is None or self._stopping:
            message.reply(Refused("node_stopping"))
        elif self._committer.overloaded or len(self._cells) >= self._limits.active_limit:
            self._refuse_overload(message)
        else:
            cell = Cell(message.actor_id, Mailbox(self._limits.mailbox_limit))
            self._cells[message.actor_id] = cell
            self._nursery.start_soon(self._supervise, cell)
            cell.mailbox.put(message)  # which has room for one

    def deliver_if_held(self, message: Message) -> bool:
        """As `deliver` does, if the actor is in memory here, or about to be; else nothing, and this gives False."""
        cell = self._cells.get(message.actor_id)
        if cell is None:
            return False
        if self._nursery is None or self._stopping:
            message.reply(Refused("node_stopping"))
        elif self._committer.overloaded or not cell.mailbox.put(message):
            self._refuse_overload(message)
        return True

    def _send(self, message: Message) -> None:
        """From an actor here to any other."""
        self._neighbours.send(message)

    def _refuse_overload(self, message: Message) -> None:
        self.counters.refused_overloaded += 1
        message.reply(Refused("overloaded"))

    @property
    def active(self) -> int:
        return len(self._cells)

    def holds(self, actor_id: str) -> bool:
        """Whether the actor is in memory here, or about to be."""
        return actor_id in self._cells

    def rules_of_all(self) -> Iterator[tuple[str, str]]:
        """The actors in memory, each with the rules that it runs under ("kind/mode/version")."""
        return ((cell.actor_id, cell.actor.rules) for cell in list(self._cells.values()) if cell.actor is not None)

    def durable_seq(self, actor_id: str) -> int | None:
        """How far the actor may be seen; None if it is not in memory here."""
        cell = self._cells.get(actor_id)
        return None if cell is None or cell.actor is None else cell.actor.durable_seq

    def cells(self) -> Iterator[Cell]:
        return iter(self._cells.values())

    # -- running --------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        sweeper = Sweeper(self._cells, self._clock, self._limits)
        waker = Waker(self._cells, self.deliver, self._journal, self._kinds, self._clock, self._limits)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._alarms.run)
                nursery.start_soon(sweeper.run)
                nursery.start_soon(waker.run, self._neighbours.belongs_here)
                self._nursery = nursery
                task_status.started()
        finally:
            self._nursery = None

    async def stop(self) -> None:
        """Take no more messages, let everything in flight land, and release all actors with a snapshot."""
        self._stopping = True
        await in_turns(map(self._send_away, list(self._cells.values())))
        while self._cells:
            await next(iter(self._cells.values())).gone.wait()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def hand_over(self, actor_id: str, to: str) -> bool:
        """Release the actor with a snapshot as soon as what is in flight has landed, and pass on who waits for it.

        Gives whether it has a timer, so that it should be woken there.
        """
        cell = self._cells.get(actor_id)
        if cell is None:
            return False
        cell.hand_to = to
        self._send_away(cell)
        has_timer = cell.actor is not None and cell.actor.wake_at_ms() is not None
        await cell.gone.wait()
        return has_timer

    def drop_all(self) -> None:
        """The right to own actors is lost: end every life of now, without another word to the journal.

        It never blocks. What an actor still decides before its turn comes is fenced, like all that it has decided.
        """
        if self._nursery is not None and self._cells:  # a stopped catalog has no cells, and a closed nursery
            self._nursery.start_soon(in_turns, map(self._drop, list(self._cells.values())))

    def _send_away(self, cell: Cell) -> None:
        cell.mailbox.force(internal(cell.actor_id, Passivate(at_once=True)))

    def _drop(self, cell: Cell) -> None:
        if cell.actor is not None:
            cell.actor.abandon()
        self._forget_life(cell)
        cell.scope.cancel()

    # -- supervision ----------------------------------------------------------------------------------------------

    async def _supervise(self, cell: Cell) -> None:
        """One life after another, until nobody wants the actor any more."""
        end: Exception = Refused("actor_restarting")
        try:
            with cell.scope:
                while await self._one_life(cell):
                    pass
        except (JournalError, Refused) as error:
            end = error
        finally:
            self._forget_life(cell)
            with trio.CancelScope(shield=True):  # as long as one mailbox takes
                await in_turns(self._refuse_waiting(cell, end))
            del self._cells[cell.actor_id]
            self._alarms.set(cell.actor_id, None)
            cell.settled.set()
            cell.gone.set()

    async def _one_life(self, cell: Cell) -> bool:
        """Restore the actor and let it work; True if it shall live again, because somebody waits for it."""
        crashed = False
        try:
            actor = await self._activate(cell)
            try:
                willing = await actor.live()
            except (JournalError, Refused) as error:  # from the rules, who have no say any more
                raise StateBroken from error
            await self._after_life(cell, actor, willing=willing)
        except ActorNotFound:
            if _birth(cell) is None:  # otherwise its creation came in meanwhile
                raise
        except (JournalError, Refused):
            raise
        except Exception:
            crashed = True
            log.exception("actor.crashed", actor=cell.actor_id)
            await self._after_crash(cell)
        if cell.hand_to is not None or self._stopping:
            await self._leave(cell)
        return crashed or bool(cell.mailbox.messages)

    async def _after_life(self, cell: Cell, actor: Actor, *, willing: bool) -> None:
        cell.actor = None
        if willing:
            await self._passivate(actor)
        else:
            self.counters.abandoned += 1

    async def _leave(self, cell: Cell) -> None:
        """However its life ended, the actor has none here any more. Raises what those who wait for it shall know."""
        await self._journal.release(cell.actor_id, cell.epoch)
        if cell.hand_to is None:
            raise Refused("node_stopping")
        self.counters.handed_over += 1
        raise OwnedElsewhere(cell.hand_to)

    async def _activate(self, cell: Cell) -> Actor:
        birth = _birth(cell)
        async with self._activating:
            activation = await take_ownership(cell.actor_id, birth, self._journal, self._kinds)
            cell.epoch = activation.epoch
            cell.actor = await restore(
                activation, self._journal, self._kinds, self._commands, cell.mailbox, self._around
            )
        self.counters.activated += 1
        cell.settled.set()
        return cell.actor

    async def _after_crash(self, cell: Cell) -> None:
        """Forget what the broken life had not committed, and pause before the next.

        Raises ActorSetAside if there shall be none.
        """
        self.counters.crashed += 1
        self._forget_life(cell)
        pause_s = self._restarts.crashed(cell.actor_id, trio.current_time())
        if pause_s is None:
            self.counters.set_aside += 1
            log.error("actor.set_aside", actor=cell.actor_id)
            await self._journal.set_aside(cell.actor_id, cell.epoch, "crashed too often")
            raise ActorSetAside(cell.actor_id)
        await trio.sleep(pause_s)

    def _forget_life(self, cell: Cell) -> None:
        if cell.actor is not None:
            self._committer.drop(cell.actor, Refused("actor_restarting"))
            cell.actor = None

    async def _passivate(self, actor: Actor) -> None:
        snapshot = actor.snapshot()
        async with self._releasing:
            if snapshot is not None:
                await self._journal.save_snapshot(actor.id, actor.epoch, snapshot)
            await self._journal.release(actor.id, actor.epoch)
        self.counters.passivated += 1

    def _refuse_waiting(self, cell: Cell, end: Exception) -> Iterator[None]:
        """Also who comes meanwhile: nobody overtakes those who have waited."""
        while cell.mailbox.messages:
            message = cell.mailbox.messages.popleft()
            try:
                self._refuse(message, end)
            except Exception:  # nobody is above us here, and the others wait for their replies
                log.exception("reply.failed", actor=cell.actor_id)
            yield

    def _refuse(self, message: Message, end: Exception) -> None:
        if isinstance(message.command, Passivate | Wake):  # nobody waits for these
            return
        if isinstance(end, OwnedElsewhere):
            self._neighbours.pass_on(message, end.owner)
        elif isinstance(end, RulesUnknown):
            self._neighbours.pass_on_to_who_knows(message, end.rules)
        else:
            message.reply(refusal(end, message))

    def _save_soon(self, actor_id: str, epoch: int, snapshot: Snapshot) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._save, actor_id, epoch, snapshot)

    async def _save(self, actor_id: str, epoch: int, snapshot: Snapshot) -> None:
        try:
            await self._journal.save_snapshot(actor_id, epoch, snapshot)
        except JournalError as error:  # the journal has everything; the next snapshot will do
            log.warning("snapshot.not_saved", actor=actor_id, error=str(error))

    # -- timers -----------------------------------------------------------------------------------

    def _ring(self, actor_id: str) -> None:
        cell = self._cells.get(actor_id)
        if cell is not None and not cell.mailbox.put(internal(actor_id, Wake())):
            self._alarms.set(actor_id, trio.current_time() + self._limits.sweep_interval_ms / 1000)


def _birth(cell: Cell) -> Birth | None:
    return next((message.birth for message in cell.mailbox.messages if message.birth is not None), None)
