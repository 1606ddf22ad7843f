"""A flawless battle, as its journal has it and as its two players saw it: for tests that spoil it."""

from attrs import evolve, frozen

from gameserver.codec import encode
from loadtest.proof import Battle, Row, Score, Verdict, prove
from loadtest.recording import Asked, Recording, Seen

BATTLE = "11111111-1111-4111-8111-111111111111"
ANN, BEN = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
WINNERS = "99999999-9999-4999-8999-999999999999"
INSTANCE = 7

EVENTS = [
    ("battle:created", {"initiator": ANN}),
    ("battle:join", {"playerId": ANN}),
    ("battle:join", {"playerId": BEN}),
    ("battle:begin", {"playerId": ANN}),
    ("battle:attack", {"playerId": ANN, "damage": 9}),
    ("battle:attack", {"playerId": BEN, "damage": 8}),
    ("battle:guard", {"playerId": BEN}),
    ("battle:finished", {"winnerGroupId": WINNERS, "score": 9}),
    ("battle:settled", {"intentionId": "close"}),
]
ASKED = [(BEN, "battle:join", 1, 3), (ANN, "battle:begin", 1, 4), (ANN, "battle:attack", 2, 5)]
ASKED += [(BEN, "battle:attack", 2, 6), (BEN, "battle:guard", 3, 7)]


def line(seq: int, **changed: object) -> bytes:
    name, payload = EVENTS[seq - 1]
    return encode({"event": name, "seq": seq, "payload": {"battleId": BATTLE, **payload, **changed}})


def row(first_seq: int, seq: int) -> Row:
    outcomes = [[player, INSTANCE, number, at] for player, _, number, at in ASKED if first_seq <= at <= seq]
    return Row(first_seq, seq, outcomes, [line(each) for each in range(first_seq, seq + 1)])


@frozen
class Evidence:
    recording: Recording
    rows: list[Row]
    scores: list[Score]
    last_seq: int = len(EVENTS)

    def verdict(self) -> Verdict:
        return prove(self.recording, {BATTLE: Battle(BATTLE, self.last_seq, self.rows)}, self.scores)

    def kinds(self) -> set[str]:
        return set(self.verdict().by_kind)

    def with_outcome(self, outcome: list[object], place: int = -1) -> "Evidence":
        rows = list(self.rows)
        rows[place] = evolve(rows[place], outcomes=[*rows[place].outcomes, outcome])
        return evolve(self, rows=rows)


def flawless() -> Evidence:
    players = {ANN: _seen(ANN, joined_at=2), BEN: _seen(BEN, joined_at=3)}
    rows = [row(1, 2), row(3, 3), row(4, 6), row(7, 9)]
    return Evidence(Recording(players, {BATTLE}), rows, [Score(BATTLE, WINNERS, 9)])


def _seen(player: str, joined_at: int) -> Seen:
    seen = Seen(highest={INSTANCE: 3})
    for seq in range(joined_at, len(EVENTS) + 1):
        seen.stream(BATTLE).take(seq, line(seq))
    for who, event, number, seq in ASKED:
        if who == player:
            seen.acknowledged.append((Asked(INSTANCE, number, BATTLE, event), seq))
    return seen
