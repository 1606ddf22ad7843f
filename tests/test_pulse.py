"""The pulse of the event loop: it notes how late it is, and gives signs of life for as long as it beats."""

import resource
import socket

import pytest
import trio
import trio.testing

from gameserver.config import NodeSettings
from gameserver.pulse import INTERVAL_S, Pulse
from gameserver.signs_of_life import SignsOfLife, give_sign

LIMIT_MS, PATIENCE_MS = 500, 3_000
SETTINGS = NodeSettings(lag_limit_ms=LIMIT_MS, lag_patience_ms=PATIENCE_MS)


async def beating(nursery, sign=lambda: None):
    pulse = Pulse(SETTINGS, sign)
    nursery.start_soon(pulse.run)
    await trio.testing.wait_all_tasks_blocked()
    return pulse


async def hold_up(seconds, times=1):
    """One task has the loop for itself for so long, so many times."""
    for _ in range(times):
        trio.lowlevel.current_clock().jump(INTERVAL_S + seconds)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_loop_with_nothing_to_do_is_never_late(autojump_clock, nursery):
    pulse = await beating(nursery)
    await trio.sleep(20)
    assert (pulse.lag_max_ms, pulse.lag_p99_ms, pulse.late) == (0, 0, False)


async def test_what_holds_the_loop_up_is_seen_for_ten_seconds(autojump_clock, nursery):
    pulse = await beating(nursery)
    await trio.sleep(1)
    await trio.testing.wait_all_tasks_blocked()
    await hold_up(0.25)
    assert pulse.lag_max_ms == pytest.approx(250)
    await trio.sleep(5)
    assert pulse.lag_max_ms == pytest.approx(250)
    await trio.sleep(6)
    assert pulse.lag_max_ms == 0


async def test_once_late_is_not_yet_late_all_the_time(autojump_clock, nursery):
    pulse = await beating(nursery)
    await hold_up(5)
    assert not pulse.late


async def test_who_is_late_each_time_for_too_long_is_late_until_it_is_in_time_again(autojump_clock, nursery):
    pulse = await beating(nursery)
    await hold_up(0.6, times=4)
    assert not pulse.late
    await hold_up(0.6, times=2)
    assert pulse.late
    await trio.sleep(2 * INTERVAL_S)
    assert not pulse.late


async def test_each_beat_is_a_sign_of_life(autojump_clock, nursery):
    signs: list[float] = []
    await beating(nursery, lambda: signs.append(trio.current_time()))
    await trio.sleep(10)
    assert len(signs) == pytest.approx(10 / INTERVAL_S, abs=1)


@pytest.fixture
def supervisor(monkeypatch):
    """Of this process."""
    signs = SignsOfLife()
    for name, value in signs.environment.items():
        monkeypatch.setenv(name, value)
    yield signs
    signs.close()


def test_signs_reach_the_supervisor_that_wants_them(supervisor):
    assert not supervisor.seen()
    give_sign()
    give_sign()
    assert supervisor.seen()
    assert not supervisor.seen()
    supervisor.close()
    give_sign()


def test_a_node_without_a_file_descriptor_left_gives_signs_too(supervisor):
    give_sign()
    assert supervisor.seen()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        give_sign()
        assert supervisor.seen()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_path_may_name_the_supervisors_socket_too(monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        give_sign()
        assert systemd.recv(100) == b"WATCHDOG=1"


def test_where_nobody_wants_signs_none_are_given(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    give_sign()
