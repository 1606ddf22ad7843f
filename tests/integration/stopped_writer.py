"""A node of its own process that commits more than any buffer holds, to be stopped in the middle of that.

Its arguments are the database's URL and the actor to commit for, which it takes over; see `test_postgres_takeovers.py`.
"""

import sys
from contextlib import AsyncExitStack

import trio

from gameserver.actors.ports import OutboxRow
from gameserver.persistence.bridge import open_bridge
from tests.contracts.journal_contract import entry
from tests.integration.postgres_stage import Node

SIZE_BYTES = 8_000_000
IDLE_LIMIT_MS = 2_000


async def commit(url: str, actor_id: str) -> None:
    async with open_bridge() as bridge, AsyncExitStack() as resources:
        journal, _ = await Node(bridge, resources).journal(url, "node-a", idle_limit_ms=IDLE_LIMIT_MS)
        actor = await journal.activate(actor_id)
        await journal.append([entry(actor, 1, outbox=[OutboxRow("long", 1, {"text": "x" * SIZE_BYTES})])])


if __name__ == "__main__":
    trio.run(commit, *sys.argv[1:])
