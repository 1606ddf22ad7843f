"""What PostgreSQL has on record of owners and leases, asked beside the Trio loop and past all relays."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import frozen

from gameserver.errors import StartError
from loadtest.chaos.limits import POLL_S, READ_PATIENCE_S
from loadtest.journal_reading import ask

OWNED: Final = """
SELECT actors.id::text FROM actors JOIN battles USING (id)
WHERE actors.owner = $1 AND battles.state = 'running' AND battles.mode = $2
"""
LEASE_UNTIL: Final = "SELECT extract(epoch FROM lease_until)::float8 FROM nodes WHERE name = $1"


@frozen
class Records:
    """Each of these tries again while PostgreSQL is starting. Raises StartError if that takes too long."""

    postgres_url: str

    async def owned_by(self, node: str, mode: str) -> set[str]:
        """The running battles of this mode that the node owns."""
        return {battle_id for (battle_id,) in await self._read(OWNED, node, mode)}

    async def owns_none(self, node: str, mode: str) -> bool:
        return not await self.owned_by(node, mode)

    async def lease_ends_at(self, node: str) -> float:
        """By Trio's clock; PostgreSQL's is that of this machine."""
        ((until,),) = await self._read(LEASE_UNTIL, node)
        return trio.current_time() + float(until) - time.time()

    async def _read(self, query: str, *args: object) -> Sequence[Any]:
        give_up_at = trio.current_time() + READ_PATIENCE_S
        while True:
            try:
                return await trio.to_thread.run_sync(lambda: asyncio.run(ask(self.postgres_url, query, *args)))
            except StartError:
                if trio.current_time() >= give_up_at:
                    raise
            await trio.sleep(POLL_S)
