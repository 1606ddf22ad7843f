"""The port between an edge and the protocol: two small classes that know nothing of each other's insides."""

from collections.abc import Sequence
from typing import Any, Protocol

from gameserver.protocol.close_codes import CloseCode


class Bulk(Protocol):
    """What all connections of a transport have in common."""

    def send(self, writes: Sequence[tuple[Any, bytes | bytearray]]) -> None:
        """To each of these connections its frames, as by its own `send`, but together where the kernel lets us. No
        connection is there twice, and no more of them than WRITES_AT_ONCE."""
        ...


class Connection(Protocol):
    """What a transport offers. Neither method blocks or raises, also on a connection that is closed or broken."""

    @property
    def bulk(self) -> Bulk: ...

    def send(self, frames: bytes | bytearray) -> None:
        """Hand over whole WebSocket frames, already encoded (see protocol/frames.py), to be sent in order.

        What the kernel does not take at once is buffered. Over the bound, or when nothing of it could be sent for too
        long, the connection is closed as a slow consumer.
        """
        ...

    def close(self, code: CloseCode) -> None:
        """Begin the closing handshake; whatever was sent before goes out first, within the deadline for closing."""
        ...


class Endpoint(Protocol):
    """What a transport talks to, from the end of the handshake on; all of it synchronous and quick."""

    def on_open(self) -> None: ...

    def on_text(self, data: bytes) -> None:
        """One whole text message, as UTF-8 bytes, within the size limit."""
        ...

    def on_binary(self, data: bytes) -> None:
        """One whole binary message, within the size limit."""
        ...

    def on_congested(self) -> None:
        """More than `congestion_bytes` of what was sent waits for the client. Once, until `on_drained`; it may come in
        the midst of a `send`, also of another connection, and so nothing is sent from within it."""
        ...

    def on_drained(self) -> None:
        """Nothing waits any more."""
        ...

    def on_close(self) -> None:
        """The connection is gone, for whatever reason. Called exactly once, and nothing after it."""
        ...
