"""What the cluster layer needs from the world outside: leases, other nodes, facts, rates, presence, leaderboards.

All calls but those of `Leases` and `Facts` are about things that can be rebuilt: their adapters never fail the game.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from gameserver.errors import Refused
from gameserver.game.rules import Side
from gameserver.ids import IdempotencyKey


@frozen
class Lease:
    """The right of one process to own actors, under the name of its node, by PostgreSQL's clock."""

    name: str
    incarnation: str


@frozen
class Renewal:
    """`held` is False when another incarnation has taken the name. `postgres_ms` is PostgreSQL's clock at the answer,
    give or take `error_ms`."""

    held: bool
    postgres_ms: int
    error_ms: int = 0


class Leases(Protocol):
    """Raises StorageUnavailable when PostgreSQL cannot be reached."""

    async def register(self, name: str) -> tuple[Lease, Renewal]:
        """A new incarnation under `name`; an older one under the same name has lost its lease from now on."""
        ...

    async def renew(self, lease: Lease) -> Renewal: ...

    async def resign(self, lease: Lease) -> None:
        """End the lease at once, so that others may take over without waiting."""
        ...


@frozen
class NodeInfo:
    """What a node tells the others of itself. A URL is empty if the node does not have that role.

    `incarnation` is that of its lease, empty while it holds none; `owning` says that it takes actors now; `rules` are
    the rules that it can fold, as "kind/mode/version".
    """

    name: str
    incarnation: str
    roles: tuple[str, ...]
    owning: bool
    http_url: str
    websocket_url: str
    admin_url: str
    rules: tuple[str, ...]


@frozen
class Sighting:
    """`age_ms`: how long ago the node announced itself, by the clock of the directory."""

    info: NodeInfo
    age_ms: int


class Directory(Protocol):
    """Where nodes find each other. It only speeds discovery: it may be wiped at any time. Raises DirectoryAway."""

    async def meet(self, me: NodeInfo) -> Sequence[Sighting]:
        """Announce this node, and see all that announced themselves within `cluster.forget_ms`, this one too."""
        ...

    async def leave(self, me: NodeInfo) -> None:
        """Be forgotten at once, unless another incarnation has announced itself under the name."""
        ...


class Bus(Protocol):
    """Messages on named channels: at most once, and in order from one publisher to one subscriber.

    Whatever is published while a subscriber is away is lost to it.
    """

    @property
    def available(self) -> bool:
        """False from the moment that something went wrong until publishing and every subscription work again."""
        ...

    async def publish(self, packets: Sequence[tuple[str, bytes]]) -> None:
        """Send (channel, packet) pairs in this order, in one round trip. Raises BusAway; some may have been sent."""
        ...

    def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        """Before the bus runs: have `handler` called with each packet, on the Trio thread; it never blocks or raises.

        A packet of one's own comes back, too.
        """
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when `available` has changed; it never blocks. When it is True again, anything may
        have been missed."""
        ...


@frozen
class BattleFacts:
    """What other actors say about a player and a battle: the sides whose group the player is a member of now, and
    whether the player owns one of the two groups."""

    attacker: str
    defender: str
    sides: tuple[Side, ...]
    owner: bool


@frozen
class BattleQuestion:
    """What a command needs to know: about a battle and a player, and, for a request under an Idempotency-Key of the
    player's, what it has caused before."""

    battle_id: str
    player_id: str
    key: str | None = None


@frozen
class Remembered:
    """The outcome of an earlier request under the same Idempotency-Key: the public event that it caused."""

    request_hash: str
    actor_id: str
    seq: int
    answer: bytes

    def answer_to(self, key: IdempotencyKey) -> bytes:
        """Raises Refused("idempotency_key_reused") if something else was asked then."""
        if self.request_hash != key.request_hash:
            raise Refused("idempotency_key_reused")
        return self.answer


@frozen
class BattleKnown:
    """The answer to a BattleQuestion; no facts where there is no such battle."""

    facts: BattleFacts | None
    remembered: Remembered | None = None


@frozen
class AttackFacts:
    """What the attacking group has to know about the group that it attacks."""

    attacker_exists: bool
    defender_exists: bool
    defender_open: bool
    player_in_defender: bool


@frozen
class Whereabouts:
    """Who owns an actor under a live lease, if anybody does, how far its journal goes, and if it goes on by itself,
    since a timer runs."""

    actor_id: str
    owner: str | None
    last_seq: int
    has_timer: bool = False


class Facts(Protocol):
    """Facts about other actors, as of the last commit. Raises StorageUnavailable."""

    async def whereabouts(self, actor_ids: Sequence[str]) -> Sequence[Whereabouts]:
        """Of those that exist, in one query, in any order."""
        ...

    async def about_battles(self, asked: Sequence[BattleQuestion]) -> Sequence[BattleKnown]:
        """The answer to each, in order, in one query."""
        ...

    async def about_attack(self, attacker: str, defender: str, player_id: str) -> AttackFacts: ...

    async def members_among(self, group_ids: Sequence[str], players: Sequence[str]) -> Sequence[str]:
        """Those of `players` who are members of one of the groups."""
        ...


@frozen
class RateQuestion:
    """May `subject` do `action` once more: at most `limit` times in a sliding `period_ms`? `attempt` names the deed:
    the same attempt asked again counts once."""

    action: str
    subject: str
    attempt: str
    limit: int
    period_ms: int


class Rates(Protocol):
    async def take(self, asked: Sequence[RateQuestion]) -> Sequence[int | None]:
        """For each question, in order, in one call: None if allowed, and counted; else milliseconds to wait.

        Never raises: while the store is away the node counts by itself.
        """
        ...

    async def give_back(self, unused: Sequence[RateQuestion]) -> None:
        """These attempts came to nothing, and shall not count. Never raises."""
        ...


class Presence(Protocol):
    """Who is connected where. Calls return at once; what they say is written in batches and renewed until undone."""

    def connected(self, player_id: str, connection_id: str) -> None: ...

    def disconnected(self, player_id: str, connection_id: str) -> None: ...


@frozen
class Standing:
    """A place on a leaderboard; equal scores share a rank."""

    rank: int
    group_id: str
    name: str
    score: int


class Leaderboards(Protocol):
    """Never raises for want of Redis: PostgreSQL's own rows answer then. May raise StorageUnavailable."""

    async def top(self, window: str, limit: int) -> Sequence[Standing]:
        """The best `limit` groups in the window `24h` (a true sliding window) or `all`. Best first."""
        ...

    async def record(self, battle_id: str, group_id: str, score: int, finished_at_ms: int) -> None:
        """A finished battle's score; recording it again changes nothing."""
        ...


@frozen
class News:
    """An outbox row on its way to consumers; `id` is unique, consumers are idempotent by it."""

    id: int
    actor_id: str
    seq: int
    topic: str
    payload: Mapping[str, Any]


class Outbox(Protocol):
    async def read(self, limit: int) -> Sequence[News]:
        """The oldest rows that nobody has finished yet."""
        ...

    async def finish(self, ids: Sequence[int]) -> None:
        """Delete rows whose consumers are done."""
        ...
