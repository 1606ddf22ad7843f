"""What a client may run into besides being refused."""

from gameserver.errors import GameServerError, Refused


class Unreachable(GameServerError):
    """Nobody answers at the address, or nobody who speaks our language."""


class Disconnected(GameServerError):
    """The WebSocket connection has ended. A command without an answer may or may not have run: repeat it, under the
    same instance and ID, over a new connection."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"disconnected: {reason} ({code})")

    @property
    def come_back(self) -> bool:
        return self.code < 4500


class Unanswered(Refused):
    """A command got no answer within its deadline, however often it was repeated: it may or may not have run. Repeat
    it under its `command_id`, before any later one to the same battle; None means that it was never sent."""

    def __init__(self, command_id: int | None, refused: Refused | None) -> None:
        self.command_id = command_id
        said = refused or ("it was never sent" if command_id is None else "nobody answered")
        super().__init__("deadline_exceeded", f"no answer in time: {said}")
