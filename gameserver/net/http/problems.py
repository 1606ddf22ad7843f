"""Errors as RFC 9457 problem details: what a client may know, under a stable `code`, and nothing of our insides."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from quart import Response, request
from werkzeug.exceptions import HTTPException

from gameserver.codec import encode
from gameserver.errors import (
    CODES,
    MODE_REFUSAL,
    ActorNotFound,
    ActorSetAside,
    CommitRejected,
    LeaseLost,
    OutcomeUnknown,
    OwnedElsewhere,
    Refused,
    StorageUnavailable,
)

log = structlog.get_logger()

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_MS: Final = 1_000  # for what passes by itself, when nobody knows how soon

JOURNAL_CODES: Final[Mapping[type[Exception], str]] = {
    StorageUnavailable: "storage_unavailable",
    OutcomeUnknown: "outcome_unknown",
    CommitRejected: "commit_rejected",
    ActorNotFound: "not_found",
    ActorSetAside: "actor_set_aside",
    OwnedElsewhere: "owner_unreachable",
    LeaseLost: "actor_restarting",
}

HTTP_CODES: Final[Mapping[int, str]] = {
    404: "not_found",
    405: "method_not_allowed",
    408: "deadline_exceeded",
    413: "message_too_large",
    415: "unsupported_media_type",
}


def as_refused(error: Exception) -> Refused:
    """The same error as clients may see it; one that nobody expected is logged, and says only that it happened."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, HTTPException):
        code = error.code or 500
        return Refused(HTTP_CODES.get(code, "invalid_message" if code < 500 else "internal"))
    for kind, code_name in JOURNAL_CODES.items():
        if isinstance(error, kind):
            log.warning("http.storage", path=request.path, error=str(error))
            return Refused(code_name)
    log.error("http.failed", method=request.method, path=request.path, exc_info=error)
    return Refused("internal")


def details(refused: Refused) -> dict[str, Any]:
    problem = {
        "type": f"urn:gameserver:problem:{refused.code}",
        "title": CODES.get(refused.code, MODE_REFUSAL).meaning,
        "status": refused.status,
        "detail": refused.message,
        "code": refused.code,
        "retryable": refused.retryable,
    }
    if refused.retry_after_ms is not None:
        problem["retry_after_ms"] = refused.retry_after_ms
    if refused.websocket_url:
        problem["websocket_url"] = refused.websocket_url
    return problem


def headers(refused: Refused) -> dict[str, str]:
    found = {"Cache-Control": "no-store"}
    wait_ms = refused.retry_after_ms or (RETRY_AFTER_MS if refused.retryable else None)
    if wait_ms is not None:
        found["Retry-After"] = str(-(-wait_ms // 1_000))  # whole seconds, rounded up: never too early
    if refused.status == 401:
        found["WWW-Authenticate"] = "Bearer"
    return found


async def answer_error(error: Exception) -> Response:
    refused = as_refused(error)
    body = encode(details(refused))
    return Response(body, refused.status, headers=headers(refused), content_type=CONTENT_TYPE)
