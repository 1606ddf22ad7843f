"""The limits of a client. They are not the node's settings: many clients with different ones share a process."""

from attrs import frozen


@frozen
class HttpLimits:
    connections: int = 8
    deadline_ms: int = 10_000
    answer_bytes: int = 4 << 20


@frozen
class PlayerLimits:
    connect_deadline_ms: int = 10_000
    command_deadline_ms: int = 10_000
    close_deadline_ms: int = 2_000
    message_bytes: int = 4 << 20
    events: int = 10_000
    """Pushed events that wait to be read; a player who lets more pile up is disconnected, like any slow reader."""
    in_flight: int = 64
    """Commands without an answer yet."""
