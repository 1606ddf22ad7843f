"""What clients may send, and what they may not: conversations, what becomes of them on the way, and plain noise."""

import itertools
import operator

from hypothesis import strategies as st

from tests.net.edge_stage import BEARER
from tests.net.raw_client import MASK, header, masked, request

LIMIT_BYTES = 300
"""Of a message, in all that is thrown at a parser here: what is too long is near."""

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

texts = st.sampled_from(
    [
        b"",
        b"hello",
        "zwölf 🎲".encode(),
        "€".encode() * 50,
        b"x" * 125,
        b"x" * 126,
        b"x" * LIMIT_BYTES,
        "🎲".encode() * (LIMIT_BYTES // 4),
        b"x" * (LIMIT_BYTES + 1),
        "ä".encode() * (LIMIT_BYTES - 10),
    ]
)
blobs = st.sampled_from([b"", b"\xff\xfe", bytes(range(256)), b"x" * LIMIT_BYTES, b"\x00" * (LIMIT_BYTES + 1)])
controls = st.builds(masked, st.sampled_from([PING, PONG]), st.sampled_from([b"", b"?", b"?" * 125]))


@st.composite
def in_fragments(draw):
    opcode, data = draw(st.tuples(st.just(TEXT), texts) | st.tuples(st.just(BINARY), blobs))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), min_size=1, max_size=4)))
    parts = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    frames = []
    for number, part in enumerate(parts):
        frames.append(masked(0 if number else opcode, part, fin=number == len(parts) - 1))
        frames += draw(st.lists(controls, max_size=1))
    return b"".join(frames)


messages = (
    st.builds(masked, st.just(TEXT), texts) | st.builds(masked, st.just(BINARY), blobs) | in_fragments() | controls
)
goodbyes = st.builds(
    masked,
    st.just(CLOSE),
    st.just(b"") | st.builds(lambda code, why: code.to_bytes(2, "big") + why, st.integers(0, 5_000), texts),
)
oddities = st.one_of(
    st.builds(
        masked,
        st.integers(0, 15),
        st.binary(max_size=140),
        fin=st.booleans(),
        reserved=st.sampled_from([0, 0, 0, 1, 2, 4]),
    ),
    st.builds(masked, st.just(TEXT), st.binary(max_size=20), fin=st.booleans()),
    st.builds(lambda first, size: header(first, size) + MASK, st.integers(0, 255), st.integers(0, 2**64 - 1)),
    st.builds(lambda first, size: bytes((first, size)), st.integers(0, 255), st.integers(0, 127)),
)
beginnings = st.lists(messages, min_size=1, max_size=8).map(b"".join)
endings = st.lists(oddities | goodbyes, max_size=2).map(b"".join)
conversations = st.builds(operator.concat, beginnings, endings)


@st.composite
def damaged(draw, of):
    """Some bytes were changed, and it may end anywhere."""
    data = bytearray(draw(of))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


streams = st.one_of(conversations, damaged(beginnings), st.binary(min_size=1, max_size=200))


@st.composite
def in_pieces(draw, of=streams):
    """A stream, as it may arrive: in pieces of some lengths, in turn."""
    data = draw(of)
    lengths = itertools.cycle(draw(st.lists(st.integers(1, 10) | st.integers(1, 1_000), min_size=1, max_size=3)))
    pieces = []
    while data:
        length = next(lengths)
        pieces.append(data[:length])
        data = data[length:]
    return pieces


headers = st.sampled_from(
    ["Origin: https://game.example", "Host: twice", "Content-Length: 5", "Upgrade: h2c", " folded"]
)
requests = st.builds(lambda more: request("/ws", BEARER, *more), st.lists(headers, max_size=2))
damaged_requests = st.one_of(damaged(requests), requests, st.binary(max_size=60).map(lambda noise: noise + b"\r\n\r\n"))
