"""Everything that can go wrong in operation, as one exception tree and one table of codes.

A `Refused` is what a player, an operator or another node gets to see: a stable `code`, a sentence, and whether
the same command may be tried again. The table below is the only place that knows a code's HTTP status. A mode may
refuse with a code of its own; it counts as a conflict with the state of the battle (409), not retryable.

Broken invariants are not here: those are assertions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import frozen


@frozen
class Code:
    status: int
    meaning: str
    retryable: bool = False


CODES: Final[dict[str, Code]] = {
    # the request itself
    "not_json": Code(400, "The message is not a JSON object."),
    "invalid_message": Code(400, "A field is missing, unknown or of the wrong type."),
    "nul_in_text": Code(400, "Text must not contain the NUL character."),
    "unknown_event": Code(400, "No such event, or not in this battle's mode."),
    "message_too_large": Code(413, "The message is larger than the limit."),
    "not_uuid": Code(404, "The ID in the path is no UUID."),
    "name_too_long": Code(400, "The name is empty or longer than the limit."),
    "username_taken": Code(409, "Another player has this username."),
    "group_name_taken": Code(409, "Another group has this name."),
    "unknown_mode": Code(400, "No rules are registered for this mode."),
    "invalid_cursor": Code(400, "The cursor did not come from this list."),
    "idempotency_key_invalid": Code(400, "The Idempotency-Key is empty, too long, or too short to be safe here."),
    "idempotency_key_reused": Code(422, "The same Idempotency-Key came with another request."),
    "not_found": Code(404, "There is nothing at this address."),
    "method_not_allowed": Code(405, "The address does not take this method."),
    "unsupported_media_type": Code(415, "The body must be application/json."),
    # identity
    "token_missing": Code(401, "A token is needed."),
    "token_invalid": Code(401, "The token is not one of ours."),
    "token_expired": Code(401, "The token has expired; get a new one with the refresh token."),
    "refresh_token_invalid": Code(401, "The refresh token is unknown, expired or revoked."),
    "origin_not_allowed": Code(403, "This origin is not among the allowed ones."),
    # what a player may do
    "player_not_found": Code(404, "No such player."),
    "group_not_found": Code(404, "No such group."),
    "node_not_found": Code(404, "No such node is alive, or it cannot be reached."),
    "battle_not_found": Code(404, "No such battle."),
    "already_in_group": Code(409, "The player is a member already."),
    "not_in_group": Code(403, "The player is not a member of the group."),
    "group_closed": Code(409, "The group is closed."),
    "group_full": Code(409, "The group has as many members as it may."),
    "group_has_open_battles": Code(409, "The last member cannot leave while the group has open battles."),
    "group_cooling_down": Code(429, "The group attacked a short while ago."),
    "same_group": Code(400, "A group cannot attack itself."),
    "not_in_exactly_one_group": Code(403, "The player must be a member of exactly one of the two groups."),
    "creation_rate_limited": Code(429, "The player created a battle a short while ago."),
    "join_rate_limited": Code(429, "The player joined too often in a short time."),
    "already_joined": Code(409, "The player has joined this battle already."),
    "battle_full": Code(409, "The battle has as many players as it may."),
    "not_joined": Code(403, "Only players of the battle can do this."),
    "battle_not_running": Code(409, "The battle is not running."),
    "battle_already_begun": Code(409, "The battle has begun already."),
    "battle_finished": Code(409, "The battle is finished."),
    "side_missing": Code(409, "A battle begins when both sides are present."),
    "not_allowed_to_begin": Code(403, "Only the initiator or an owner of either group can begin the battle."),
    "not_allowed_to_finish": Code(403, "Only the initiator or an owner of either group can finish the battle."),
    "finish_too_early": Code(409, "The battle has not run for its minimum duration yet."),
    "no_energy": Code(409, "The player has too little energy."),
    "not_team_mate": Code(409, "The named player is not another member of one's own side."),
    # the server's own limits and failures
    "command_expired": Code(409, "This command ID is too old to be remembered; it was not run now."),
    "rate_limited": Code(429, "Too many messages from this connection.", retryable=True),
    "too_many_connections": Code(503, "The node holds as many connections as it may.", retryable=True),
    "too_many_watches": Code(409, "The connection watches as many battles as it may."),
    "watch_replaced": Code(409, "A later watch of the same battle on this connection took its place."),
    "too_many_in_flight": Code(429, "The connection has too many unanswered commands.", retryable=True),
    "overloaded": Code(503, "The server is busy; try again in a moment.", retryable=True),
    "deadline_exceeded": Code(503, "No answer within the deadline; try again with the same ID.", retryable=True),
    "actor_restarting": Code(503, "The battle or group is being restored; try again with the same ID.", retryable=True),
    "actor_set_aside": Code(503, "The battle or group failed repeatedly and waits for an operator."),
    "owner_unreachable": Code(503, "The node that owns this battle or group cannot be reached.", retryable=True),
    "outcome_unknown": Code(503, "The command may or may not have run; try again with the same ID.", retryable=True),
    "storage_unavailable": Code(503, "The database cannot be reached; try again.", retryable=True),
    "commit_rejected": Code(500, "The result could not be stored; nothing was changed."),
    "rules_failed": Code(500, "The rules of this mode failed on the command; nothing was changed."),
    "rules_too_slow": Code(500, "The rules of this mode took too long over the command; nothing was changed."),
    "rules_version_unknown": Code(503, "This node does not know the rules that the battle was played with."),
    "node_stopping": Code(503, "The node is stopping; come back to another one.", retryable=True),
    "internal": Code(500, "An error on our side; it has been logged."),
}

MODE_REFUSAL: Final = Code(409, "The rules of this mode refuse the command.")


class GameServerError(Exception):
    """The root of all operating errors."""


class ConfigError(GameServerError):
    """A setting has a wrong value; the message names it and says what was expected."""


class StartError(GameServerError):
    """The server cannot start; the message says what to do."""


class Refused(GameServerError):
    """A command or request that was refused and has changed nothing.

    `retry_after_ms`, where known, says when it would no longer be refused for this reason; `websocket_url`, where it
    would not be.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        retry_after_ms: int | None = None,
        websocket_url: str | None = None,
    ) -> None:
        self.code = code
        self.message = message or CODES.get(code, MODE_REFUSAL).meaning
        self.retry_after_ms = retry_after_ms
        self.websocket_url = websocket_url
        super().__init__(f"{code}: {self.message}")

    @property
    def status(self) -> int:
        return CODES.get(self.code, MODE_REFUSAL).status

    @property
    def retryable(self) -> bool:
        return CODES.get(self.code, MODE_REFUSAL).retryable


class RulesUnknown(Refused):
    """This node cannot fold the actor: it runs under `rules` ("kind/mode/version") that are not known here."""

    def __init__(self, rules: str) -> None:
        self.rules = rules
        super().__init__("rules_version_unknown", f"{rules} is not known here")


class DirectoryAway(GameServerError):
    """Nodes cannot see each other at the moment; the last view stands."""


class BusAway(GameServerError):
    """Nodes cannot talk to each other at the moment; what was to be sent may have been sent or not."""


class JournalError(GameServerError):
    """The root of what a journal raises."""


class StorageUnavailable(JournalError):
    """The database did not answer, and nothing can have been changed by the call."""


class OutcomeUnknown(JournalError):
    """The connection or the deadline was lost after a statement was sent; it may land now, later or never."""


class CommitRejected(JournalError):
    """The database refused the statement; nothing of it took effect."""


class ActorNotFound(JournalError):
    """No actor was ever created under this ID."""


class ActorSetAside(JournalError):
    """The actor failed repeatedly; an operator has to let it back."""


class OwnedElsewhere(JournalError):
    """Another node with a live lease owns the actor."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(f"owned by {owner}")


class LeaseLost(JournalError):
    """This node holds no live lease, so it may not own actors."""

    def __init__(self, node: str) -> None:
        super().__init__(f"{node} holds no lease")


@contextmanager
def unwrapped() -> Iterator[None]:
    """Around a nursery: an error that comes alone comes out as itself, not as a group of one."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from None
