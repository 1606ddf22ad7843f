"""Autobahn's testsuite needs a Python that hardly anybody has any more: whoever has none is told what to do."""

import pytest

from gameserver.errors import StartError
from tests.conformance.autobahn import find_python27


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.delenv("PYTHON27", raising=False)


def make_python(path, version):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


def test_without_one_it_says_what_to_do():
    with pytest.raises(StartError, match="PYTHON27="):
        find_python27()


def test_one_of_another_version_is_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHON27", str(make_python(tmp_path / "python3", (3, 11))))
    wanted = make_python(tmp_path / "versions" / "2.7.18" / "bin" / "python2.7", (2, 7))
    assert find_python27() == wanted


def test_a_shim_that_leads_nowhere_is_passed_over(monkeypatch, tmp_path):
    shim = tmp_path / "python2.7"
    shim.write_text("#!/nowhere\n")
    shim.chmod(0o755)
    with pytest.raises(StartError, match="PYTHON27="):
        find_python27()
