"""A battle's history as steps to be read: each event, and what of the players' view it changed, in any mode."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from gameserver.actors.activation import fold
from gameserver.actors.kinds import Kind
from gameserver.actors.ports import History
from gameserver.codec import decode
from gameserver.config import CommandSettings

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})")
UNTOLD: Final = frozenset({"battleId", "at"})
"""What every event has, and would only be in the way."""


@frozen
class Step:
    seq: int
    text: str


def steps(kind: Kind, history: History, commands: CommandSettings) -> Iterator[Step]:
    """From the beginning, or, if that is no longer kept, from the snapshot."""
    memory = fold(kind, History(history.snapshot, ()), commands)
    machine, seq, began_at = memory.machine, memory.seq, memory.at_ms
    before = dict(_flat(machine.view()))
    if history.snapshot is not None:
        yield Step(
            seq, f"#{seq} is where the last snapshot was taken; events up to it are no longer kept\n{_state(before)}"
        )
    for row in history.rows:
        lines = row.public.split(b"\n")
        for line, (event_seq, event) in zip(lines, kind.events.decode(row.public, row.private), strict=True):
            if event_seq > seq:
                machine.apply(event)
                seq, began_at = event_seq, began_at or event.at
                after = dict(_flat(machine.view()))
                yield Step(seq, _told(decode(line), event.at - began_at, before, after))
                before = after


def _told(event: Mapping[str, Any], after_ms: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    payload = "  ".join(f"{key}={_short(value)}" for key, value in event["payload"].items() if key not in UNTOLD)
    changes = [
        f"        {_short(name)}: {_short(before.get(name, '(new)'))} → {_short(after.get(name, '(gone)'))}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    return "\n".join([f"#{event['seq']:<5} {after_ms / 1000:8.3f} s  {event['event']}  {payload}", *changes])


def _state(view: Mapping[str, Any]) -> str:
    return "\n".join(f"        {_short(name)}: {_short(value)}" for name, value in view.items())


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} as ("a.b", 1)"""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _short(value: Any) -> str:
    """UUIDs by their last eight digits: those that were made in one hour begin alike."""
    return UUID.sub(r"…\1", str(value))
