"""`gameserver replay` tells a battle as its journal has it, and says clearly what it cannot tell."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from attrs import evolve

from gameserver import replay
from gameserver.actors.kinds import Kinds
from gameserver.actors.outcomes import Outcomes
from gameserver.config import Settings
from gameserver.errors import StartError
from gameserver.game import classic
from gameserver.game.battle import Created, Finished
from gameserver.game.classic import Attacked
from gameserver.game.rules import Begun, Joined
from gameserver.ids import new_id
from gameserver.rule_files import load_rules

ACTOR = "INSERT INTO actors (id, kind, mode, rules_version, seed, last_seq) VALUES ($1, $2, $3, $4, 'seed', $5)"
ROW = "INSERT INTO journal VALUES ($1, $2, $3, 1, 1, '', $4, '')"
SNAPSHOT = "INSERT INTO snapshots VALUES ($1, $2, 1, $3)"

ANN, BEN = new_id(), new_id()
ATTACKER, DEFENDER = new_id(), new_id()
BEGAN_AT = 1_700_000_000_000


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the package is not installed, and has no entry points."""
    monkeypatch.setattr(replay, "load_rules", lambda path: load_rules(path) or [classic.rules])


@pytest.fixture
def settings(database: str) -> Settings:
    settings = Settings()
    return evolve(settings, postgres=evolve(settings.postgres, url=database))


def events(battle_id: str) -> list[Any]:
    at = BEGAN_AT
    return [
        Created(battle_id, ATTACKER, DEFENDER, "classic", ANN, at + 600_000, at),
        Joined(ANN, "attacker", "initiator", at),
        Joined(BEN, "defender", "participant", at + 500),
        Begun(ANN, at + 1_000),
        Attacked(ANN, "defender", 12, 988, 3, at + 2_500),
        Finished("attacker", ATTACKER, 12, {ANN: 12, BEN: 0}, "called", at + 1_000, at + 3_000),
    ]


def store(
    database: str, battle_id: str, kept_from: int = 1, snapshot: bytes | None = None, kind: str = "battle"
) -> None:
    """A battle with a row per event, those before `kept_from` left out, and with a snapshot at the fourth."""
    codec = Kinds([classic.rules], Settings().guards).find("battle", "classic", 1).events
    lines = [codec.writers[type(event)](battle_id, seq, event)[0] for seq, event in enumerate(events(battle_id), 1)]
    rows = [(battle_id, seq, seq, line) for seq, line in enumerate(lines, 1) if seq >= kept_from]
    asyncio.run(_insert(database, (battle_id, kind, "classic", 1, len(lines)), rows, snapshot))


async def _insert(database: str, actor: Sequence[Any], rows: Sequence[Sequence[Any]], snapshot: bytes | None) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(ACTOR, *actor)
        await connection.executemany(ROW, rows)
        if snapshot is not None:
            await connection.execute(SNAPSHOT, actor[0], 4, snapshot)
    finally:
        await connection.close()


def snapshot_at_four(battle_id: str, settings: Settings, **changed: Any) -> bytes:
    kind = Kinds([classic.rules], settings.guards).find("battle", "classic", 1)
    machine = kind.new()
    for event in events(battle_id)[:4]:
        machine.apply(event)
    for name, value in changed.items():
        setattr(machine.state(), name, value)
    return kind.encode_state(machine, Outcomes(settings.commands), BEGAN_AT + 1_000)


def test_every_event_is_told_with_what_it_changed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    battle_id = new_id()
    store(settings.postgres.url, battle_id, snapshot=snapshot_at_four(battle_id, settings))
    assert replay.run(settings, battle_id) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines() if line.startswith("#")] == [
        "#1",
        "#2",
        "#3",
        "#4",
        "#5",
        "#6",
    ]
    assert "2.500 s  battle:attack" in told
    assert "play.sides.defender.health: 1000 → 988" in told
    assert "state: running → finished" in told
    assert ANN not in told


def test_what_is_no_longer_kept_begins_with_the_snapshot(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    battle_id = new_id()
    store(settings.postgres.url, battle_id, kept_from=5, snapshot=snapshot_at_four(battle_id, settings))
    assert replay.run(settings, battle_id) == 0
    told = capsys.readouterr().out
    assert "#4 is where the last snapshot was taken" in told
    assert "#1 " not in told
    assert "play.sides.defender.health: 1000 → 988" in told


def test_a_snapshot_that_the_events_do_not_lead_to_is_found(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    battle_id = new_id()
    store(settings.postgres.url, battle_id, snapshot=snapshot_at_four(battle_id, settings, created_at=1))
    assert replay.run(settings, battle_id) == replay.EXIT_DIFFERS
    assert "another state" in capsys.readouterr().out


def test_what_is_no_battle_is_named(settings: Settings) -> None:
    group, unknown = new_id(), new_id()
    store(settings.postgres.url, group, kind="group")
    for battle_id in (group, unknown):
        with pytest.raises(StartError, match=f"there is no battle {battle_id}"):
            replay.run(settings, battle_id)
    with pytest.raises(StartError, match="'the first' is no battle's ID"):
        replay.run(settings, "the first")


def test_rules_that_are_not_here_are_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    battle_id = new_id()
    store(settings.postgres.url, battle_id)
    monkeypatch.setattr(replay, "load_rules", lambda path: [])
    with pytest.raises(StartError, match="battle/classic/1 is not known here"):
        replay.run(settings, battle_id)


def test_without_any_game_it_says_where_it_looked(tmp_path: Any) -> None:
    settings = Settings()
    with pytest.raises(StartError, match="there is no game in"):
        replay.run(evolve(settings, node=evolve(settings.node, data_dir=tmp_path)), new_id())
