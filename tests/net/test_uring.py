"""The ring, and what is made of a kernel that has none, or one that cannot be trusted. Needs a Linux that has it."""

import errno
import gc
import os
import socket
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from attrs import define, evolve
from structlog.testing import capture_logs

from gameserver.config import Settings
from gameserver.net import bulk
from gameserver.net.bulk import open_bulk
from gameserver.net.uring import Ring

LIMIT = 8
SETTINGS = Settings().websocket


@pytest.fixture
def ring():
    with opened(LIMIT) as ring:
        yield ring


@contextmanager
def opened(limit):
    try:
        ring = Ring(limit)
    except OSError as error:
        pytest.skip(f"this kernel gives us no io_uring ({error}); the edge sends one by one here")
    with closing(ring):
        yield ring


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        yield near, far


def test_all_is_sent_when_send_returns(ring, pair):
    near, far = pair
    for n in range(3 * LIMIT):
        texts = [b"%d/%d " % (n, part) for part in range(n % LIMIT + 1)]
        assert ring.send([(near.fileno(), text) for text in texts]) == []
        assert far.recv(1_000) == b"".join(texts)


def test_what_arrives_is_what_was_sent_whatever_its_length(ring, pair):
    near, far = pair
    texts = [b"", b"x", b"\0" * 10, bytes(range(256)) * 100, b"y" * 3]
    assert ring.send([(near.fileno(), text) for text in texts]) == []
    assert far.recv(100_000) == b"".join(texts)


def test_one_text_to_many_is_the_same_as_many_texts(ring, pair):
    near, far = pair
    one, other = b"to all", b"to one"
    assert ring.send([(near.fileno(), text) for text in (one, one, other, one)]) == []
    assert far.recv(100) == one + one + other + one


def test_each_failure_is_told_with_its_number_and_the_others_are_sent(ring, pair):
    near, far = pair
    gone, peer = socket.socketpair()
    peer.close()
    descriptors = (near.fileno(), gone.fileno(), near.fileno(), 9_999, near.fileno())
    failed = ring.send([(descriptor, b"x") for descriptor in descriptors])
    assert failed == [(1, -errno.EPIPE), (3, -errno.EBADF)]
    assert far.recv(100) == b"xxx"
    gone.close()


def test_what_the_kernel_does_not_carry_out_counts_as_not_taken(ring, pair, monkeypatch):
    near, far = pair
    with monkeypatch.context() as patched:
        patched.setattr(ring, "_call", no_memory)
        failed = ring.send([(near.fileno(), b"never"), (near.fileno(), b"sent")])
        assert failed == [(0, -errno.EAGAIN), (1, -errno.EAGAIN)]
    assert ring.send([(near.fileno(), b"later")]) == []
    assert far.recv(100) == b"later"


def no_memory(*_):
    raise OSError(errno.ENOMEM, "no memory")


def test_a_closed_ring_leaves_no_descriptor_behind():
    before = descriptors()
    with opened(LIMIT):
        assert descriptors() > before
    assert descriptors() == before


def descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def test_the_edge_uses_the_ring_where_there_is_one(pair):
    near, far = pair
    with opened(LIMIT), open_bulk(SETTINGS) as together:
        together.send([(Descriptor(near), b"x"), (Descriptor(near), b"y")])
        assert far.recv(3) == b"xy"


def test_what_the_edge_has_taken_lives_until_it_has_been_sent(pair):
    near, far = pair
    with opened(LIMIT), open_bulk(SETTINGS) as together:
        together.send([(Descriptor(near), str(n).encode() * 1_000) for n in range(LIMIT)])
        gc.collect()
        rubbish = [b"!" * (1_000 + n) for n in range(1_000)]
        assert far.recv(100_000) == b"".join(str(n).encode() * 1_000 for n in range(LIMIT))
        assert rubbish


@define(eq=False)
class Descriptor:
    """A writer of which the kernel takes all."""

    socket: socket.socket
    backlog = None
    closing = False

    @property
    def descriptor(self):
        return self.socket.fileno()

    def send(self, frames):
        pytest.fail(f"{frames} was sent by itself")

    def took(self, frames, result):
        pytest.fail(f"not all of {frames} was sent: {result}")


def test_more_failures_than_there_is_room_for_at_once_are_all_told(ring, pair):
    near, _ = pair
    gone, peer = socket.socketpair()
    peer.close()
    for n in range(50):
        whole = n % LIMIT
        failed = ring.send([((near if number == whole else gone).fileno(), b"x") for number in range(LIMIT)])
        assert failed == [(number, -errno.EPIPE) for number in range(LIMIT) if number != whole]
    gone.close()


SOME, NOTHING = [(0, 1_000)], [(0, -errno.EAGAIN)]
LIES = {
    "all of it, when it was some": [[], [], NOTHING],
    "all of it, in so many bytes": [[], [(0, bulk.TOO_MUCH)], NOTHING],
    "nothing, when it was some": [[], NOTHING, NOTHING],
    "some, when it was all": [SOME, SOME, NOTHING],
    "all of it, when it was nothing": [[], SOME, []],
}


@pytest.mark.parametrize("lies", LIES.values(), ids=LIES)
def test_a_kernel_that_does_not_say_what_it_has_not_sent_is_not_used(monkeypatch, lies):
    class Lying(Ring):
        answers = iter(lies)

        def send(self, sends):
            super().send(sends)
            return next(self.answers)

    with opened(LIMIT):
        monkeypatch.setattr(bulk, "Ring", Lying)
    assert sends_one_by_one() == ["this kernel's io_uring does not say what it has not sent"]


def test_off_linux_there_is_none(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert sends_one_by_one() == ["only Linux has io_uring"]


def test_a_kernel_that_gives_none_is_no_fault(monkeypatch):
    def refused(_limit):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(bulk, "Ring", refused)
    assert sends_one_by_one() == ["Operation not permitted"]


def test_who_switches_it_off_gets_none(monkeypatch):
    monkeypatch.setattr(bulk, "Ring", no_memory)
    with capture_logs() as logged, open_bulk(evolve(SETTINGS, io_uring="off")) as together:
        assert sent_by_itself(together)
    assert logged == []


def sent_by_itself(together):
    sent = []

    class Plain:
        send = sent.append

    together.send([(Plain(), b"x"), (Plain(), b"y")])
    return sent == [b"x", b"y"]


def sends_one_by_one():
    """Why, as it is logged."""
    before = descriptors()
    with capture_logs() as logged, open_bulk(SETTINGS) as together:
        assert sent_by_itself(together)
        assert descriptors() == before
    assert [entry["event"] for entry in logged] == ["websocket.no_io_uring"]
    return [entry["error"].partition("] ")[2] for entry in logged]
