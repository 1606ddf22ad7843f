"""The same seed gives the same run, byte for byte."""

import os
import subprocess
import sys

import pytest

from tests.simulation.run import run


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_has_one_history_in_one_process(seed):
    first, again, other = run(seed), run(seed), run(seed + 1)
    assert first.history.lines() == again.history.lines()
    assert first.history.digest() != other.history.digest()


def test_a_seed_has_one_history_whatever_the_hash_seed():
    digests = {_digest_in_a_process_of_its_own(8, hash_seed) for hash_seed in ("1", "2")}
    assert digests == {run(8).history.digest()}


def _digest_in_a_process_of_its_own(seed, hash_seed):
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--digest"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
