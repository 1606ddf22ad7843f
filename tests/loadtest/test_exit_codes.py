"""How a run ends that proves something, or comes to nothing."""

import pytest

from gameserver.errors import StartError
from loadtest.exit_codes import exit_code


def failing(error: BaseException) -> int:
    raise error


def test_the_code_is_that_of_the_run() -> None:
    assert [exit_code("run", lambda: 0), exit_code("run", lambda: 1)] == [0, 1]


def test_of_many_errors_one_tells_it_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    many = BaseExceptionGroup("", [StartError("no game"), ExceptionGroup("", [StartError("nor here")])])
    assert exit_code("run", lambda: failing(many)) == 2
    assert capsys.readouterr().err == "run: no game\n"


def test_an_interrupted_run_has_proven_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", lambda: failing(KeyboardInterrupt())) == 2
    assert "nothing to prove" in capsys.readouterr().err
