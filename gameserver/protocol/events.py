"""Events as bytes: one line of JSON each, the very bytes that the journal keeps and that clients get.

    {"event":"battle:attack","seq":42,"payload":{"battleId":"…","playerId":"…", …}}

Fields marked `private()` are taken out of the line and kept beside it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from attrs import fields

from gameserver.codec import camel, converter, decode, encode, wire_class


class Line(NamedTuple):
    """An event as bytes: what everybody gets, and `[seq,{…}]` with its private fields if it has any."""

    public: bytes
    private: bytes


class EventCodec:
    """The events of one kind of actor (and one mode), by their names on the wire.

    `id_key` is the payload key that names the actor, "battleId" or "groupId".
    """

    def __init__(self, classes: Mapping[str, type], id_key: str) -> None:
        self._classes: dict[str, type[Any]] = {name: wire_class(cls) for name, cls in classes.items()}
        self._names = {cls: name for name, cls in self._classes.items()}
        self._id_key = id_key
        self._unstructure = {cls: converter.get_unstructure_hook(cls) for cls in self._names}
        self._has_own_id = {cls for cls in self._names if id_key in {camel(f.name) for f in fields(cls)}}
        self._private = {cls: [camel(f.name) for f in fields(cls) if f.metadata.get("private")] for cls in self._names}

    def name(self, event: Any) -> str:
        return self._names[type(event)]

    def encode(self, actor_id: str, seq: int, event: Any) -> Line:
        """Raises whatever it likes for what is no event of this kind, or is no plain data."""
        cls = type(event)
        payload = {self._id_key: actor_id, **self._unstructure[cls](event)}
        private = {key: payload.pop(key) for key in self._private[cls]}
        public = encode({"event": self._names[cls], "seq": seq, "payload": payload})
        return Line(public, encode([seq, private]) if private else b"")

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
