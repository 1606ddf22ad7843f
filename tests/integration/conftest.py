from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gameserver.persistence.bridge import open_bridge
from tests.integration.postgres_stage import Node


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """Gives journals on a real PostgreSQL."""
    async with AsyncExitStack() as resources:
        yield Node(await resources.enter_async_context(open_bridge()), resources)
