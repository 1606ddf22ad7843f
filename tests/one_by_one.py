"""A transport's bulk for connections that only pretend: each is sent to by itself."""

from typing import Any


class OneByOne:
    def send(self, writes: list[tuple[Any, bytes]]) -> None:
        for connection, frames in writes:
            connection.send(frames)
