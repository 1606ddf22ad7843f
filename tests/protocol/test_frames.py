"""What the server frames is what a client's library reads."""

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from gameserver.protocol.frames import text_frame, text_frames

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)


def read(data: bytes) -> list[str]:
    """By another implementation than ours."""
    client = FrameProtocol(client=True, extensions=[])
    client.receive_bytes(data)
    frames = list(client.received_frames())
    assert all(frame.opcode is Opcode.TEXT and frame.frame_finished and frame.message_finished for frame in frames)
    return [frame.payload for frame in frames]


@pytest.mark.parametrize("size", SIZES)
def test_a_text_of_any_size_is_one_frame(size):
    assert read(text_frame(b"x" * size)) == ["x" * size]


def test_many_texts_are_a_frame_each_in_order():
    texts = [str(number).encode() * size for number, size in enumerate(SIZES)]
    assert read(text_frames(texts)) == [text.decode() for text in texts]
    assert text_frames([]) == b""
