"""The game that players of these tests connect to."""

import pytest

from tests.client.fake_game import FakeGame


@pytest.fixture
def game():
    return FakeGame()
