"""Children that do as they are told, and end with us."""

import signal
from pathlib import Path

import pytest
import trio

from gameserver.errors import StartError
from loadtest.chaos.child import open_child

ECHO = "tests.chaos.echo_child"
DEADLINE_S = 20


async def test_each_of_many_who_ask_at_once_gets_the_own_answer(tmp_path: Path) -> None:
    answers: dict[bytes, bytes] = {}

    async def ask(line: bytes) -> None:
        answers[line] = await child.ask(line)

    with trio.fail_after(DEADLINE_S):
        async with open_child(ECHO, [], tmp_path / "log") as child, trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(ask, b"%d" % number)
    assert answers == {b"%d" % number: b"%d" % number for number in range(5)}


async def test_a_child_that_has_failed_says_why(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S):
        async with open_child(ECHO, [], tmp_path / "log") as child:
            with pytest.raises(StartError, match="it has failed"):
                await child.ask(b"fail")


async def test_a_child_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.chaos.child.CHILD_STOP_DEADLINE_S", 0.1)
    with trio.fail_after(DEADLINE_S):
        async with open_child(ECHO, [], tmp_path / "log") as child:
            assert await child.ask(b"up") == b"up"
            child.process.send_signal(signal.SIGSTOP)
    assert child.process.returncode == -signal.SIGKILL
