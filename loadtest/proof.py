"""The proof: what the players saw, held against what the journal says happened.

- The journal itself: each battle's events are numbered 1, 2, 3 … up to its `last_seq`.
- Streams: who joined a battle was sent every event from the own joining to the battle's last one: in order, none lost,
  none doubled, each with the bytes that the journal has; and so was each connection, for as long as it lasted.
- Commands: an acknowledged ID has exactly one outcome, which is the event whose seq the player was told; a refused one
  has none; every event of play is the outcome of exactly one command; and nobody has an outcome unasked.
- Scores: a battle that somebody won has exactly one score, that of its last event; no other battle has one.

It decides on what it is given, and does no I/O: see journal_reading.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final
from zlib import crc32

from attrs import Factory, define, field, frozen

from gameserver.codec import decode
from loadtest.recording import Asked, Recording, Seen, Stream

PLAY: Final = frozenset({"battle:attack", "battle:guard", "battle:cheer"})
JOIN: Final = "battle:join"
FINISHED: Final = "battle:finished"

Identity = tuple[str, int, int]
"""Player, instance, number: what names a command over WebSocket."""


@frozen
class Score:
    battle_id: str
    group_id: str
    score: int


@frozen
class Row:
    """A row of the journal, as far as the proof needs it."""

    first_seq: int
    seq: int
    outcomes: Sequence[Sequence[Any]]
    lines: Sequence[bytes]


@define
class Battle:
    """A battle as the journal has it. `last_seq` is what the actor's own row says."""

    battle_id: str
    last_seq: int
    rows: Sequence[Row] = field(repr=False)
    events: list[tuple[str, str | None]] = Factory(list)
    """The name and the player of each event, by seq - 1."""
    checksums: list[int] = Factory(list)
    finish: dict[str, Any] | None = None
    outcomes: "defaultdict[Identity, list[int]]" = Factory(lambda: defaultdict(list))
    joined_at: dict[str, int] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        for row in self.rows:
            for line in row.lines:
                self._read(line)
            for player, *name, seq in row.outcomes:
                if isinstance(name[0], int):
                    self.outcomes[player, name[0], name[1]].append(seq)

    def _read(self, line: bytes) -> None:
        event = decode(line)
        name, payload = event["event"], event["payload"]
        player = payload.get("playerId")
        self.events.append((name, player))
        self.checksums.append(crc32(line))
        if name == JOIN:
            self.joined_at[player] = event["seq"]
        elif name == FINISHED:
            self.finish = payload


@frozen
class Fault:
    kind: str
    where: str


@define
class Verdict:
    """What was compared, and what was wrong."""

    battles: int = 0
    finished: int = 0
    streams: int = 0
    deliveries: int = 0
    commands: int = 0
    restarts: int = 0
    faults: list[Fault] = Factory(list)

    def add(self, kind: str, where: str) -> None:
        self.faults.append(Fault(kind, where))

    @property
    def by_kind(self) -> Mapping[str, int]:
        return Counter(fault.kind for fault in self.faults)


def prove(recording: Recording, battles: Mapping[str, Battle], scores: Sequence[Score]) -> Verdict:
    verdict = Verdict(battles=len(battles))
    for battle_id in sorted(recording.battles - battles.keys()):
        verdict.add("battle lost", f"{battle_id} was acknowledged and is not in the journal")
    for battle in battles.values():
        _check_journal(battle, verdict)
        _check_streams(battle, recording, verdict)
    _check_connections(recording, verdict)
    _check_commands(recording, battles, verdict)
    _check_scores(battles, scores, verdict)
    return verdict


# -- the journal and the streams -----------------------------------------------------------------------------------


def _check_journal(battle: Battle, verdict: Verdict) -> None:
    expected = 1
    for row in battle.rows:
        numbers = [decode(line)["seq"] for line in row.lines]
        if numbers != list(range(expected, row.seq + 1)) or row.first_seq != expected:
            verdict.add("journal broken", f"{battle.battle_id}: a row says {row.first_seq} to {row.seq}, has {numbers}")
        expected = row.seq + 1
    if expected - 1 != battle.last_seq:
        verdict.add("journal broken", f"{battle.battle_id}: ends at {expected - 1}, its actor at {battle.last_seq}")


def _check_streams(battle: Battle, recording: Recording, verdict: Verdict) -> None:
    for player_id, joined_at in battle.joined_at.items():
        seen = recording.players.get(player_id)
        if seen is not None:
            stream = seen.streams.get(battle.battle_id, Stream())
            for fault in _faults_of(stream, joined_at, battle):
                verdict.add(fault, f"battle {battle.battle_id}, player {player_id}")
            verdict.streams += 1
            verdict.deliveries += len(stream.seqs)
            verdict.restarts += len(stream.restarts)


def _faults_of(stream: Stream, first: int, battle: Battle) -> Iterator[str]:
    times = Counter(stream.seqs)
    excused = {seq for after, up_to in stream.restarts for seq in range(after + 1, up_to + 1)}
    for seq in range(first, battle.last_seq + 1):
        if seq not in times and seq not in excused:
            yield "event lost"
    yield from ("event doubled" for count in times.values() if count > 1)
    yield from ("event out of order" for one, following in pairwise(stream.seqs) if one > following)
    for seq, checksum in zip(stream.seqs, stream.checksums, strict=True):
        if not first <= seq <= len(battle.checksums):
            yield "event from nowhere"
        elif battle.checksums[seq - 1] != checksum:
            yield "event altered"


def _check_connections(recording: Recording, verdict: Verdict) -> None:
    for player_id, seen in recording.players.items():
        if seen.out_of_step:
            where = f"player {player_id}: {seen.out_of_step} times an event came again or was left out"
            verdict.add("connection out of step", where)


# -- commands ------------------------------------------------------------------------------------------------------


def _check_commands(recording: Recording, battles: Mapping[str, Battle], verdict: Verdict) -> None:
    for player_id, seen in recording.players.items():
        for asked, seq in seen.acknowledged:
            verdict.commands += 1
            _check_acknowledged(player_id, asked, seq, battles.get(asked.battle_id), verdict)
        for asked in seen.refused:
            battle = battles.get(asked.battle_id)
            if battle is not None and (player_id, asked.instance, asked.number) in battle.outcomes:
                verdict.add("refused and yet done", _where(player_id, asked))
    for battle in battles.values():
        _check_outcomes(battle, recording.players, verdict)


def _check_acknowledged(player_id: str, asked: Asked, seq: int, battle: Battle | None, verdict: Verdict) -> None:
    outcomes = battle.outcomes.get((player_id, asked.instance, asked.number), []) if battle else []
    if not outcomes or battle is None:
        verdict.add("command lost", _where(player_id, asked))
    elif outcomes != [seq] * len(outcomes):
        verdict.add("command answered wrongly", f"{_where(player_id, asked)}: told {seq}, journal {outcomes}")
    elif not 0 < seq <= len(battle.events) or battle.events[seq - 1] != (asked.event, player_id):
        verdict.add("command answered wrongly", f"{_where(player_id, asked)}: event {seq} is not what was asked")


def _check_outcomes(battle: Battle, players: Mapping[str, Seen], verdict: Verdict) -> None:
    causes: Counter[int] = Counter()
    for (player_id, instance, number), seqs in battle.outcomes.items():
        causes.update(seqs)
        where = f"battle {battle.battle_id}, player {player_id}, instance {instance}, ID {number}"
        if len(seqs) > 1:
            verdict.add("command doubled", where)
        if player_id in players and number > players[player_id].highest.get(instance, -1):
            verdict.add("command from nowhere", where)
    for seq, (name, _) in enumerate(battle.events, 1):
        if name in PLAY and causes[seq] != 1:
            verdict.add("event without its command", f"battle {battle.battle_id}, event {seq}: {causes[seq]} commands")


def _where(player_id: str, asked: Asked) -> str:
    return f"battle {asked.battle_id}, player {player_id}, instance {asked.instance}, ID {asked.number}"


# -- scores --------------------------------------------------------------------------------------------------------


def _check_scores(battles: Mapping[str, Battle], scores: Sequence[Score], verdict: Verdict) -> None:
    found: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for score in scores:
        found[score.battle_id].append((score.group_id, score.score))
    for battle in battles.values():
        verdict.finished += battle.finish is not None
        rows = found.pop(battle.battle_id, [])
        won = battle.finish if battle.finish and battle.finish["winnerGroupId"] else None
        if won is None:
            if rows:
                verdict.add("score without a finish", f"battle {battle.battle_id}")
        elif not rows:
            verdict.add("score lost", f"battle {battle.battle_id}")
        elif len(rows) > 1:
            verdict.add("score doubled", f"battle {battle.battle_id}")
        elif rows[0] != (won["winnerGroupId"], won["score"]):
            verdict.add("score altered", f"battle {battle.battle_id}: {rows[0]}")
    for battle_id in found:
        verdict.add("score without a finish", f"battle {battle_id} is not in the journal")
