"""What an actor of a certain kind, mode and rules version is made of: its machine, its commands, its bytes."""

from collections.abc import Callable, Iterable

from attrs import field, frozen

from gameserver.actors.outcomes import Outcomes
from gameserver.codec import converter, decode, encode
from gameserver.errors import ConfigError, Refused, RulesUnknown
from gameserver.game import battle, group
from gameserver.game.guards import Guards
from gameserver.game.machine import Machine
from gameserver.game.rules import Rules
from gameserver.protocol.commands import CommandCodec
from gameserver.protocol.events import STATE, EventCodec


@frozen
class Kind:
    name: str
    mode: str
    rules_version: int
    new: Callable[[], Machine]
    events: EventCodec
    commands: CommandCodec
    play_state: type | None = field(default=None)

    @property
    def rules(self) -> str:
        """What its actors run under, as nodes call it among each other."""
        return f"{self.name}/{self.mode}/{self.rules_version}"

    def encode_state(self, machine: Machine, outcomes: Outcomes, at_ms: int) -> bytes:
        state = converter.unstructure(machine.state())
        return encode({"state": state, "outcomes": outcomes.snapshot(), "at": at_ms})

    def restore(self, state: bytes, machine: Machine, outcomes: Outcomes) -> int:
        """Fill a fresh machine and outcomes from `encode_state`'s bytes; gives the time of the last event."""
        data = decode(state)
        restored = converter.structure(data["state"], type(machine.state()))
        if self.play_state is not None:
            restored.play = converter.structure(data["state"]["play"], self.play_state)
        machine.restore(restored)
        outcomes.restore(data["outcomes"])
        return int(data["at"])


class Kinds:
    """All kinds that this node can run. Built once at start; raises ConfigError when two rules claim one mode."""

    def __init__(self, rules: Iterable[Rules], guards: Guards) -> None:
        self._group = Kind(
            name="group",
            mode="",
            rules_version=1,
            new=lambda: group.Group(guards),
            events=EventCodec(group.EVENTS, "groupId"),
            commands=CommandCodec({}),
        )
        self._battles: dict[tuple[str, int], Kind] = {}
        self._newest: dict[str, int] = {}
        for each in rules:
            if (each.mode, each.version) in self._battles:
                raise ConfigError(f"two rules claim mode {each.mode!r}, version {each.version}")
            self._battles[each.mode, each.version] = _battle_kind(each, guards)
            self._newest[each.mode] = max(each.version, self._newest.get(each.mode, 0))

    @property
    def modes(self) -> frozenset[str]:
        return frozenset(self._newest)

    @property
    def rules(self) -> tuple[str, ...]:
        """All that this node can fold, as "kind/mode/version", sorted."""
        return tuple(sorted(kind.rules for kind in (self._group, *self._battles.values())))

    def newest_rules(self, kind: str, mode: str) -> str | None:
        """What a new actor runs under, as "kind/mode/version"; None if the mode is unknown here."""
        version = self._group.rules_version if kind == "group" else self._newest.get(mode)
        return None if version is None else f"{kind}/{mode}/{version}"

    def newest_version(self, kind: str, mode: str) -> int:
        """The version that a new actor is pinned to. Raises Refused("unknown_mode")."""
        if kind == "group":
            return self._group.rules_version
        if mode not in self._newest:
            raise Refused("unknown_mode")
        return self._newest[mode]

    def find(self, kind: str, mode: str, version: int) -> Kind:
        """Raises RulesUnknown: what this node does not know it does not guess at."""
        known = self._group if kind == "group" else self._battles.get((mode, version))
        if known is None or known.rules_version != version:
            raise RulesUnknown(f"{kind}/{mode}/{version}")
        return known


def _battle_kind(rules: Rules, guards: Guards) -> Kind:
    clash = {STATE, *battle.EVENTS} & rules.events.keys()
    if clash:
        raise ConfigError(f"mode {rules.mode}: {', '.join(sorted(clash))} belong to every battle")
    return Kind(
        name="battle",
        mode=rules.mode,
        rules_version=rules.version,
        new=lambda: battle.Battle(rules, guards),
        events=EventCodec({**battle.EVENTS, **rules.events}, "battleId"),
        commands=CommandCodec(rules.commands),
        play_state=rules.state,
    )
