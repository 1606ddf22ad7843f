"""Many connections at once, more of them than there is room for: nobody gets another's bytes, nobody is forgotten."""

import itertools
import resource
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import define, field

from gameserver.protocol.frames import text_frame
from tests.net.edge_stage import BEARER, Echo
from tests.net.raw_client import RESET, RawClient, request, text

CROWD = 1_000
OPEN_FILES = 2 * CROWD + 500
ARRIVING = 50
"""As many wait to be accepted at any one time."""

ROUNDS, GROUP = 10, 20
TOO_LARGE = text_frame(bytes(8_000_000))
WITHOUT_S = 0.3
IDLE_CPU = 0.5
"""Of one processor; a loop that spins takes all of it."""


@pytest.fixture(scope="module", autouse=True)
def many_open_files():
    """Both ends of every connection are ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Arrivals:
    """Clients that connect and speak without a turn of the loop: the edge has not even noticed yet."""

    def __init__(self, port, sockets):
        self.port, self.sockets = port, sockets

    def plain(self, data):
        sock = self.sockets.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(data)
        return sock

    def named(self, number, data=b""):
        """Its endpoint knows it by the number."""
        return self.plain(request(f"/?instance={number}", BEARER) + data)


@contextmanager
def arrivals(stage):
    with ExitStack() as sockets:
        yield Arrivals(stage.port, sockets)


def raw(sock):
    return RawClient(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))


class Named(Echo):
    """Its client says nothing but its own number."""

    def on_text(self, data):
        assert data.split()[0] == str(self.admission.instance).encode()
        super().on_text(data)


async def test_a_thousand_come_at_once_are_heard_and_go_at_once(serving):
    async with serving(Named) as stage:
        with arrivals(stage) as arriving:
            clients = []
            while len(clients) < CROWD:
                clients += [raw(arriving.named(len(clients) + n)) for n in range(1, ARRIVING + 1)]
                await stage.until_connections(len(clients))
            for client in clients:
                assert (await client.answer())[0] == 101
            for number, client in enumerate(clients, 1):
                await client.send(text(str(number)))
            for number, client in enumerate(clients, 1):
                assert await client.frame() == (1, str(number).encode())
            assert stage.counters.connections == len(stage.endpoints) == CROWD
        await stage.until_empty()


@define(eq=False)
class Executioner(Named):
    """At a word of its client, the connections of all `doomed` are cut at once, by a send that is far too large."""

    doomed: list = field(kw_only=True)

    def on_text(self, data):
        super().on_text(data)
        if data.endswith(b"now"):
            for endpoint in self.doomed:
                endpoint.connection.send(TOO_LARGE)


async def test_a_descriptor_that_is_used_again_brings_nobody_the_bytes_of_its_last_owner(serving):
    """Within one wake-up: some are cut while their own messages lie there unread, some have hung up, and new ones come
    and talk at once."""
    executed = []
    endpoint = partial(Executioner, doomed=executed)
    async with serving(endpoint, outgoing_limit_bytes=1_000) as stage:
        numbers = itertools.count(1)
        for _ in range(ROUNDS):
            stage.endpoints.clear()
            with arrivals(stage) as arriving:
                names = list(itertools.islice(numbers, 1 + 2 * GROUP))
                first = {n: arriving.named(n) for n in names}
                await stage.until(lambda: len(stage.endpoints) == 1 + 2 * GROUP)
                killer, doomed, leaving = names[0], names[1 : GROUP + 1], names[GROUP + 1 :]
                executed[:] = [one for one in stage.endpoints if one.admission.instance in doomed]
                first[killer].sendall(text(f"{killer} now"))
                for n in doomed:
                    first[n].sendall(text(f"{n} unread") * 3)
                for n in leaving:
                    first[n].sendall(text(f"{n} bye"))
                    first[n].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    first[n].close()
                fresh = {n: arriving.named(n, text(f"{n} hello")) for n in itertools.islice(numbers, GROUP)}
                for n, sock in fresh.items():
                    client = raw(sock)
                    assert (await client.answer())[0] == 101
                    assert await client.frame() == (1, f"{n} hello".encode())
            await stage.until_empty()


@contextmanager
def no_descriptors_left():
    """Nothing more can be opened, or accepted, by this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with ExitStack() as holes:
            with suppress(OSError):
                while True:
                    holes.enter_context(socket.socket())
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_the_others_play_on_and_whoever_waits_gets_in_later(serving):
    waiting = trio.SocketStream(trio.socket.socket())
    async with waiting, serving() as stage, stage.client() as (inside, _):
        with no_descriptors_left():
            await waiting.socket.connect(("127.0.0.1", stage.port))
            start, cpu = trio.current_time(), time.process_time()
            while trio.current_time() - start < WITHOUT_S:
                await inside.send(text("still here"))
                assert await inside.frame() == (1, b"still here")
                await trio.sleep(0.02)
            assert time.process_time() - cpu < 0.1 + IDLE_CPU * WITHOUT_S
        late = RawClient(waiting)
        await late.send(request("/", BEARER))
        assert (await late.answer())[0] == 101
        await late.half_close()
