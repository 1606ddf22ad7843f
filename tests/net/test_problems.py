"""Errors as problem details: every kind has its code, and none shows our insides."""

from typing import Any

import pytest
import trio

from gameserver import errors
from gameserver.net.http.app import Gate
from gameserver.net.http.problems import HTTP_CODES, JOURNAL_CODES, details, headers
from tests.net.http_world import app, authorization, settings


class Failing:
    """Lists that raise what they were told to, or keep everybody waiting."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def groups(self, *_: Any) -> Any:
        if self._error is not None:
            raise self._error
        await trio.sleep_forever()


async def answer_to(error: Exception | None, gate: Gate | None = None, **http: Any) -> tuple[Any, Any]:
    client = app(gate, lists=Failing(error), settings=settings(**http)).test_client()
    response = await client.get("/groups", headers=authorization())
    return await response.get_json(), response


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.StorageUnavailable("password=hunter2"), "storage_unavailable", 503),
        (errors.OutcomeUnknown("password=hunter2"), "outcome_unknown", 503),
        (errors.CommitRejected("password=hunter2"), "commit_rejected", 500),
        (errors.ActorNotFound("password=hunter2"), "not_found", 404),
        (errors.ActorSetAside("password=hunter2"), "actor_set_aside", 503),
        (errors.OwnedElsewhere("password=hunter2"), "owner_unreachable", 503),
        (errors.LeaseLost("password=hunter2"), "actor_restarting", 503),
        (ZeroDivisionError("password=hunter2"), "internal", 500),
        (ExceptionGroup("password=hunter2", [KeyError("hunter2")]), "internal", 500),
        (errors.Refused("no_such_code_of_ours", "the mode says no"), "no_such_code_of_ours", 409),
    ],
)
async def test_every_failure_has_its_code_and_shows_nothing_else(error: Exception, code: str, status: int) -> None:
    problem, response = await answer_to(error)
    assert (problem["code"], response.status_code) == (code, status)
    assert "hunter2" not in str(problem)
    assert ("Retry-After" in response.headers) is problem["retryable"]


async def test_a_request_that_takes_too_long_is_given_up(autojump_clock: Any) -> None:
    problem, response = await answer_to(None, request_deadline_ms=300)
    assert (problem["code"], response.status_code) == ("deadline_exceeded", 503)


async def test_a_full_house_refuses_at_once_and_counts(autojump_clock: Any) -> None:
    gate = Gate(1)
    with gate.place():
        problem, response = await answer_to(None, gate)
    assert (problem["code"], response.headers["Retry-After"]) == ("overloaded", "1")
    assert (gate.inside, gate.refused) == (0, 1)


def test_every_code_that_failures_get_is_in_the_table() -> None:
    assert {*JOURNAL_CODES.values(), *HTTP_CODES.values()} <= errors.CODES.keys()


def test_the_time_to_wait_is_told_in_whole_seconds_and_never_too_early() -> None:
    refused = errors.Refused("group_cooling_down", retry_after_ms=1_001)
    assert headers(refused)["Retry-After"] == "2"
    assert details(refused)["retry_after_ms"] == 1_001
    assert "Retry-After" not in headers(errors.Refused("group_full"))
