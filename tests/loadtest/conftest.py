"""Two nodes for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.node.cluster import nodes_of
from tests.node.conftest import MakeSettings, node_settings
from tests.node.running import NodeThread

__all__ = ["node_settings"]


@pytest.fixture(scope="module")
def nodes(node_settings: MakeSettings) -> Iterator[list[NodeThread]]:
    with nodes_of(node_settings()) as running:
        yield running
