"""Battles and groups for tests, driven as an actor drives them: decide, apply, follow up, each event into a journal."""

from collections.abc import Callable, Iterator
from typing import Any

from attrs import fields, has

from gameserver.codec import converter, decode, encode
from gameserver.errors import Refused
from gameserver.game import classic
from gameserver.game.battle import Battle, BattleState
from gameserver.game.classic import Attack, Cheer, Guard, Numbers
from gameserver.game.commands import Begin, CreateBattle, CreateGroup, Finish, IntendBattle, Join, JoinGroup
from gameserver.game.group import Group
from gameserver.game.guards import Guards
from gameserver.game.machine import IntentionSettled, Machine
from gameserver.game.rules import Dice, Rules, TimeUp

T0 = 1_700_000_000_000
"""When every story begins; the times in the tests count from here, in milliseconds."""

CREATE = CreateBattle("battle-1", "wolves", "bears", "classic", "ann", "attacker")


class Stage:
    """A machine and its journal. Every decision is checked to have changed nothing by itself."""

    def __init__(self, make: Callable[[], Machine]) -> None:
        self.make, self.machine = make, make()
        self.journal: list[Any] = []
        self.now = T0

    def do(self, command: Any, at: int | None = None) -> list[Any]:
        """The events that the command causes at `at` (milliseconds after T0; without it, when the last one came)."""
        if at is not None:
            self.now = T0 + at
        before = encoded(self.machine)
        try:
            events = list(self.machine.decide(command, self.now, Dice("secret", len(self.journal))))
        finally:
            assert encoded(self.machine) == before, f"deciding {command} changed the state"
        for event in events:
            self.machine.apply(event)
        entailed = list(self.machine.follow_up(self.now)) if events else []
        for event in entailed:
            self.machine.apply(event)
        self.journal += events + entailed
        return events + entailed

    def refusal(self, command: Any, at: int | None = None) -> Refused:
        """Why the command is refused; fails if it is not."""
        try:
            events = self.do(command, at)
        except Refused as refused:
            return refused
        raise AssertionError(f"{command} was not refused but caused {events}")

    def code(self, command: Any, at: int | None = None) -> str:
        return self.refusal(command, at).code

    def folded(self) -> Machine:
        """A fresh machine after the same events."""
        machine = self.make()
        for event in self.journal:
            machine.apply(event)
        return machine

    @property
    def state(self) -> Any:
        return self.machine.state()


def encoded(machine: Machine) -> bytes:
    return encode(converter.unstructure(machine.state()))


def restored(battle: bytes, rules: Rules, guards: Guards) -> Battle:
    """A battle from the encoded state that a snapshot would hold."""
    plain = decode(battle)
    play: Any = converter.structure(plain.pop("play"), rules.state)
    state = converter.structure(plain | {"play": None}, BattleState)
    state.play = play
    machine = Battle(rules, guards)
    machine.restore(state)
    return machine


def pending(rules: Rules = classic.rules, guards: Guards | None = None) -> Stage:
    """A battle of wolves against bears that Ann, a wolf, has created at T0."""
    stage = Stage(lambda: Battle(rules, guards or Guards()))
    stage.do(CREATE, at=0)
    return stage


def running(numbers: Numbers | None = None, rules: Rules | None = None, guards: Guards | None = None) -> Stage:
    """Ann and Abe (wolves) against Dan and Dot (bears), begun at T0."""
    if numbers is not None:
        rules = classic.rules_with("classic", 1, numbers)
    stage = pending(rules or classic.rules, guards)
    stage.do(Join("abe", ("attacker",)))
    stage.do(Join("dan", ("defender",)))
    stage.do(Join("dot", ("defender",)))
    stage.do(Begin("ann"))
    return stage


def group(guards: Guards | None = None) -> Stage:
    """The wolves: Ann owns them, then Abe and Ada came."""
    stage = Stage(lambda: Group(guards or Guards()))
    stage.do(CreateGroup("wolves", "Wolves", "ann"), at=0)
    stage.do(JoinGroup("abe"), at=1)
    stage.do(JoinGroup("ada"), at=2)
    return stage


def attack_on_bears(battle_id: str = "battle-1", player_id: str = "ann", defender: str = "bears") -> IntendBattle:
    return IntendBattle(battle_id, defender, "classic", player_id, player_in_defender=False, defender_open=True)


def whole_story() -> Stage:
    """One battle from its creation to its last acknowledgement, with everything that can happen in between."""
    stage = running(Numbers(attacker_health=60, defender_health=40))
    stage.do(Guard("dan"), at=500)
    stage.do(Cheer("ann", "abe"), at=600)
    for at in range(1_000, 60_000, 700):
        for player in ("ann", "dan", "abe", "dot"):
            try:
                stage.do(Attack(player), at=at)
            except Refused:
                continue
    assert stage.state.phase == "finished"
    assert stage.code(Finish("ann")) == "battle_finished"
    assert stage.do(TimeUp(), at=500_000) == []
    for intention in [*stage.machine.intentions(), *stage.machine.intentions()]:
        stage.do(IntentionSettled(intention.id))
    for intention in list(stage.machine.intentions()):
        stage.do(IntentionSettled(intention.id))
    return stage


def parts(value: Any) -> Iterator[Any]:
    """The value and everything in it."""
    yield value
    if has(type(value)):
        for attribute in fields(type(value)):
            yield from parts(getattr(value, attribute.name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from parts(key)
            yield from parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from parts(item)
