"""Which commands have taken effect: an actor's durable memory, folded from its journal like the rest of its state.

Over WebSocket, a client numbers its commands, rising within an instance. Per player and instance the last `window`
outcomes are remembered. A number above the highest is new; a remembered one gets its first answer; any other might
have run long ago, and is refused rather than run twice. Instances rise in the order of issue: when a player has too
many, the lowest is forgotten, and from then on no instance up to it is taken for a new one.

Over HTTP the key is any text; the last `keys_per_actor` are remembered here, all of them in a table.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from attrs import Factory, define

from gameserver.config import CommandSettings
from gameserver.errors import Refused
from gameserver.ids import CommandId, IdempotencyKey, Identity


@define
class Instance:
    window: deque[int]
    """Number, seq, number, seq, … of the last ones, rising. Plain numbers, since a pair for each command of each player
    would be what Python's garbage collector does most of its walking over."""
    highest: int = -1


@define
class Player:
    forgotten_up_to: int = -1
    instances: dict[int, Instance] = Factory(dict)


class Outcomes:
    def __init__(self, limits: CommandSettings) -> None:
        self._limits = limits
        self._players: dict[str, Player] = {}
        self._keys: dict[tuple[str, str], tuple[str, int]] = {}

    def find(self, identity: Identity) -> int | None:
        """The `seq` of the event that this command caused; None if it is new.

        Raises Refused: command_expired, idempotency_key_reused.
        """
        if isinstance(identity, IdempotencyKey):
            return self._find_key(identity)
        player = self._players.get(identity.player)
        if player is None:
            return None
        instance = player.instances.get(identity.instance)
        if instance is None:
            if identity.instance <= player.forgotten_up_to:
                raise Refused("command_expired")
            return None
        if identity.number > instance.highest:
            return None
        known_seq = dict(_pairs(instance.window)).get(identity.number)
        if known_seq is None:
            raise Refused("command_expired")
        return known_seq

    def _find_key(self, identity: IdempotencyKey) -> int | None:
        known = self._keys.get((identity.player, identity.key))
        if known is None:
            return None
        if known[0] != identity.request_hash:
            raise Refused("idempotency_key_reused")
        return known[1]

    def record(self, identity: Identity, seq: int) -> None:
        if isinstance(identity, IdempotencyKey):
            self._keys[identity.player, identity.key] = (identity.request_hash, seq)
            if len(self._keys) > self._limits.keys_per_actor:
                del self._keys[next(iter(self._keys))]
            return
        player = self._players.get(identity.player)
        if player is None:
            player = self._players[identity.player] = Player()
        instance = player.instances.get(identity.instance)
        if instance is None:
            instance = player.instances[identity.instance] = Instance(deque(maxlen=2 * self._limits.window))
            self._forget_instances(player)
        instance.highest = identity.number
        instance.window.append(identity.number)
        instance.window.append(seq)

    def _forget_instances(self, player: Player) -> None:
        while len(player.instances) > self._limits.instances_per_player:
            lowest = min(player.instances)
            del player.instances[lowest]
            player.forgotten_up_to = max(player.forgotten_up_to, lowest)

    # -- durable form ---------------------------------------------------------------------------------------------

    def replay(self, rows: Sequence[Sequence[Any]]) -> None:
        """Fold what `row_of` made, in order."""
        for player, *rest, seq in rows:
            if isinstance(rest[0], int):
                self.record(CommandId(player, rest[0], rest[1]), seq)
            else:
                self.record(IdempotencyKey(player, rest[0], rest[1]), seq)

    def snapshot(self) -> Mapping[str, Any]:
        """JSON-ready; the same outcomes in the same order always give the same data."""
        players = [
            [name, player.forgotten_up_to]
            + [[number, inst.highest, list(_pairs(inst.window))] for number, inst in player.instances.items()]
            for name, player in self._players.items()
        ]
        return {"players": players, "keys": [[*name, *known] for name, known in self._keys.items()]}

    def restore(self, data: Mapping[str, Any]) -> None:
        size = 2 * self._limits.window
        self._players = {
            name: Player(
                forgotten,
                {n: Instance(deque(chain.from_iterable(window), size), highest) for n, highest, window in instances},
            )
            for name, forgotten, *instances in data["players"]
        }
        self._keys = {(player, key): (request_hash, seq) for player, key, request_hash, seq in data["keys"]}


def _pairs(window: Iterable[int]) -> Iterator[tuple[int, int]]:
    numbers = iter(window)
    return zip(numbers, numbers, strict=True)


def row_of(identity: Identity, seq: int) -> list[str | int]:
    """One outcome as a journal row holds it."""
    if isinstance(identity, IdempotencyKey):
        return [identity.player, identity.key, identity.request_hash, seq]
    return [identity.player, identity.instance, identity.number, seq]
