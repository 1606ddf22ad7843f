"""The limits of a client. They are not the node's settings: many clients with different ones share a process."""

from attrs import frozen


@frozen
class HttpLimits:
    connections: int = 8
    deadline_ms: int = 10_000
    answer_bytes: int = 4 << 20


@frozen
class ConnectionLimits:
    connect_deadline_ms: int = 10_000
    command_deadline_ms: int = 10_000
    close_deadline_ms: int = 2_000
    message_bytes: int = 4 << 20
    events: int = 10_000
    """Pushed events that wait to be read; who lets more pile up is disconnected, like any slow reader."""
    in_flight: int = 64
    """Commands without an answer yet."""


@frozen
class PlayerLimits:
    """Of each of a player's connections, and of what goes on beyond them."""

    connection: ConnectionLimits = ConnectionLimits(connect_deadline_ms=5_000, command_deadline_ms=3_000)
    """Its command deadline is that of one try."""
    first_deadline_ms: int = 10_000
    """For the first connection."""
    away_limit_ms: int = 120_000
    """Whoever finds no connection for this long gives up."""
    command_deadline_ms: int = 30_000
    """For a command with all its repetitions, over however many connections."""
    commands: int = 256
    """Commands without an answer yet, those included that wait for their turn."""
    events: int = 10_000
    """Events that wait to be read; of a battle that has more, the rest is asked for again once there is room."""
    battles: int = 64
    """Battles that are followed, or were; more than any server allows one connection to watch (`watches_limit`)."""

    reconnect_pause_ms: int = 200
    reconnect_pause_max_ms: int = 5_000
    steady_ms: int = 5_000
    """A connection that lasts this long counts as a success: the next pause is a short one again."""
    retry_pause_ms: int = 50
    retry_pause_max_ms: int = 1_000
    ping_interval_ms: int = 15_000
    """A server that was silent for this long is asked whether it is still there; so is one that has let a command wait
    for its deadline, and has said nothing else."""
    ping_deadline_ms: int = 2_000
    """If it says nothing for this long then, it is left for another."""
    leave_deadline_ms: int = 2_000
    """How long commands may still be answered over a connection that is left for another."""
    move_interval_ms: int = 1_000
    """The least time from one move to a battle's owner to the next."""
