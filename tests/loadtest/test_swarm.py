"""The swarm's own reading of frames: whatever pieces they come in, and whatever else comes than text."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gameserver.client.connection import Event
from gameserver.client.limits import ConnectionLimits
from gameserver.codec import encode
from gameserver.protocol.frames import text_frame
from loadtest.meter import Meter
from loadtest.swarm import SwarmConnection, Wire


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, servers = socket.socketpair()
    ours.settimeout(0)
    servers.settimeout(1)
    with ours, servers:
        yield ours, servers


def open_wire(ours: socket.socket) -> tuple[Wire, SwarmConnection, list[Event]]:
    events: list[Event] = []
    wire = Wire(ours)
    connection = SwarmConnection(wire, events.append, ConnectionLimits(), Meter())
    wire.begin(connection)
    return wire, connection, events


def event(size: int) -> dict[str, Any]:
    return {"event": "battle:attack", "seq": size, "payload": {"text": "x" * size}}


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1_000])
async def test_frames_of_all_sizes_come_whole_in_whatever_pieces(ends: Any, piece: int) -> None:
    wire, _, events = open_wire(ends[0])
    sizes = [0, 60, 70, 200, 70_000, 1] if piece > 3 else [0, 60, 70, 200, 1]
    data = b"".join(text_frame(encode(event(size))) for size in sizes)
    for start in range(0, len(data), piece):
        wire.feed(data[start : start + piece])
    assert events == [event(size) for size in sizes]


async def test_a_ping_is_answered_and_a_masked_message_goes_out(ends: Any) -> None:
    wire, connection, _ = open_wire(ends[0])
    wire.feed(b"\x89\x02hi")
    await wire.send_message("{}" * 100)
    received = ends[1].recv(1_000)
    assert [unmasked(received[:8]), unmasked(received[8:])] == [(0x8A, b"hi"), (0x81, b"{}" * 100)]
    assert connection.lost is None


def unmasked(frame: bytes) -> tuple[int, bytes]:
    at = 4 if frame[1] & 0x7F == 126 else 2
    key, data = frame[at : at + 4], frame[at + 4 :]
    return frame[0], bytes(byte ^ key[place % 4] for place, byte in enumerate(data))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x88\x05" + (4001).to_bytes(2, "big") + b"bye", 4001),
        (b"\x88\x00", 1005),
        (b"\x82\x01x", 1002),
        (b"\x01\x01x", 1002),
        (text_frame(b"{no"), 1002),
    ],
)
async def test_the_end_of_a_connection_has_its_code(ends: Any, frames: bytes, code: int) -> None:
    wire, connection, _ = open_wire(ends[0])
    wire.feed(frames)
    assert connection.lost is not None
    assert connection.lost.code == code


async def test_a_socket_that_breaks_is_noticed(ends: Any) -> None:
    wire, connection, _ = open_wire(ends[0])
    wire.receive()
    assert connection.lost is None
    ends[1].close()
    wire.receive()
    assert connection.lost is not None
    assert connection.lost.come_back
