"""The game's commands by name, for whatever can send one."""

from abc import ABC, abstractmethod
from typing import Any


class GameCommands(ABC):
    @abstractmethod
    async def command(self, event: str, payload: dict[str, Any], *, command_id: int | None = None) -> Any:
        """The payload of the reply. `command_id` repeats an earlier command; otherwise the next ID is taken."""

    async def join(self, battle_id: str) -> Any:
        return await self.command("battle:join", {"battleId": battle_id})

    async def begin(self, battle_id: str) -> Any:
        return await self.command("battle:begin", {"battleId": battle_id})

    async def finish(self, battle_id: str) -> Any:
        return await self.command("battle:finish", {"battleId": battle_id})

    async def attack(self, battle_id: str) -> Any:
        return await self.command("battle:attack", {"battleId": battle_id})

    async def guard(self, battle_id: str) -> Any:
        return await self.command("battle:guard", {"battleId": battle_id})

    async def cheer(self, battle_id: str, target_id: str) -> Any:
        return await self.command("battle:cheer", {"battleId": battle_id, "targetId": target_id})

    async def watch(self, battle_id: str, after: int | None = None) -> Any:
        """`{"seq", "state"}`; or, with `after`, `{"seq", "recovered": true}` and then the events above it, if the
        server still has them all."""
        payload = {"battleId": battle_id} if after is None else {"battleId": battle_id, "after": after}
        return await self.command("battle:watch", payload)

    async def ping(self) -> Any:
        return await self.command("ping", {})
