"""Events as bytes: one line of JSON each, the very bytes that the journal keeps and that clients get.

    {"event":"battle:attack","seq":42,"payload":{"battleId":"…","playerId":"…", …}}

Fields marked `private()` are taken out of the line and kept beside it. Every event is written and few are read again,
so the writing is prepared per class; a test holds it to the converter, which reads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import Attribute, fields

from gameserver.codec import camel, converter, decode, encode, hook_for, wire_class

STATE: Final = "battle:state"
"""Looks like an event of a battle, and is none: the state at its `seq`, pushed instead of the events up to there."""

Line = tuple[bytes, bytes]
"""An event as bytes: what everybody gets, and `[seq,{…}]` with its private fields; empty if it has none."""

Write = Callable[[str, int, Any], Line]


class EventCodec:
    """The events of one kind of actor (and one mode), by their names on the wire.

    `id_key` is the payload key that names the actor, "battleId" or "groupId".
    """

    def __init__(self, classes: Mapping[str, type], id_key: str) -> None:
        self._classes: dict[str, type[Any]] = {name: wire_class(cls) for name, cls in classes.items()}
        self._names = {cls: name for name, cls in self._classes.items()}
        self._id_key = id_key
        self._has_own_id = {cls for cls in self._names if id_key in {camel(f.name) for f in fields(cls)}}
        self.writers: Mapping[type, Write] = {cls: _writer(name, cls, id_key) for name, cls in self._classes.items()}
        """By class, what makes the line of an event, given its actor's ID and its seq. Raises whatever it likes for
        what is no plain data. A class that is not there is of no event of this kind."""

    def name(self, event: Any) -> str:
        return self._names[type(event)]

    def decode(self, public: bytes, private: bytes) -> Iterator[tuple[int, Any]]:
        """The (seq, event) pairs of a journal row."""
        hidden = dict(decode(private)) if private else {}
        for line in public.split(b"\n"):
            data = decode(line)
            cls = self._classes[data["event"]]
            payload = data["payload"]
            if cls not in self._has_own_id:
                del payload[self._id_key]
            payload.update(hidden.get(data["seq"], ()))
            yield data["seq"], converter.structure(payload, cls)


def lines_between(public: bytes, first_seq: int, after: int, up_to: int) -> list[bytes]:
    """The lines of the events above `after` and up to `up_to`, of a row that begins with `first_seq`."""
    lines = public.split(b"\n")
    return lines[max(0, after + 1 - first_seq) : max(0, up_to + 1 - first_seq)]


# -- writing ----------------------------------------------------------------------------------------------------------


class _Event(msgspec.Struct, gc=False):
    event: str
    seq: int
    payload: Any


def _writer(name: str, cls: type[Any], id_key: str) -> Write:
    """The payload begins with the actor's ID, also where an event has a field of its own for it."""
    written = [f for f in fields(cls) if f.init]
    own_id = next((f.name for f in written if camel(f.name) == id_key), None)
    hidden = [f for f in written if f.metadata.get("private")]
    shown = [f for f in written if f not in hidden and f.name != own_id]
    payload = msgspec.defstruct(cls.__name__, [id_key, *(camel(f.name) for f in shown)], gc=False)
    values, secrets = _values(shown), _values(hidden)

    def write(actor_id: str, seq: int, event: Any) -> Line:
        named = actor_id if own_id is None else getattr(event, own_id)
        return encode(_Event(name, seq, payload(named, *values(event)))), b""

    def write_both(actor_id: str, seq: int, event: Any) -> Line:
        kept = {camel(f.name): value for f, value in zip(hidden, secrets(event), strict=True)}
        return write(actor_id, seq, event)[0], encode([seq, kept])

    return write_both if hidden else write


def _values(some: Sequence["Attribute[Any]"]) -> Callable[[Any], Iterable[Any]]:
    """The values of these fields, plain."""
    names, hooks = [f.name for f in some], [hook_for(f.type) for f in some]
    if any(hooks) or len(names) < 2:  # with one name, attrgetter gives no tuple
        return lambda event: [
            hook(getattr(event, name)) if hook else getattr(event, name)
            for name, hook in zip(names, hooks, strict=True)
        ]
    return attrgetter(*names)
