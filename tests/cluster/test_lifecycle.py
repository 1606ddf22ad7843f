"""Commands that need facts first: every call gets exactly one reply, also when the facts cannot be had."""

from random import Random
from typing import Any

import pytest
import trio

from gameserver.actors.messages import Message
from gameserver.actors.ports import Accepted, Answer
from gameserver.cluster.lifecycle import Lifecycle, LifecycleCall
from gameserver.config import Settings
from gameserver.errors import Refused, StorageUnavailable
from gameserver.ids import Issuer
from tests.cluster.stage import NobodyElse

SETTINGS = Settings()


class Accepting:
    def send(self, message: Message) -> None:
        message.reply(Accepted(7))


class Facts(NobodyElse):
    """Answers after a second, with what `outcome` says: None for no such battle, or an error."""

    def __init__(self, outcome: Any = "known") -> None:
        super().__init__()
        self.outcome = outcome
        self.asked: list[int] = []

    async def about_battles(self, asked: Any) -> Any:
        self.asked.append(len(asked))
        await trio.sleep(1)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return await super().about_battles(asked) if self.outcome else [None] * len(asked)


def lifecycle(facts: Facts) -> Lifecycle:
    return Lifecycle(Accepting(), facts, facts, SETTINGS.guards, SETTINGS.actors, Issuer(lambda: 0, Random(1)))  # type: ignore[arg-type]


def submit(to: Lifecycle, answers: list[Answer], count: int = 1) -> None:
    for _ in range(count):
        to.submit(LifecycleCall("join", "battle-1", "ann", None, answers.append))


@pytest.mark.parametrize(
    ("outcome", "code"), [(None, "battle_not_found"), (StorageUnavailable("away"), "storage_unavailable")]
)
async def test_without_facts_a_call_is_refused(autojump_clock, nursery, outcome, code):
    answers: list[Any] = []
    nursery.start_soon((calls := lifecycle(Facts(outcome))).run)
    submit(calls, answers)
    await trio.sleep(2)
    assert [answer.code for answer in answers] == [code]


async def test_calls_that_gather_meanwhile_share_one_query(autojump_clock, nursery):
    answers: list[Any] = []
    facts = Facts()
    nursery.start_soon((calls := lifecycle(facts)).run)
    submit(calls, answers)
    await trio.sleep(0.5)
    submit(calls, answers, 20)
    await trio.sleep(3)
    assert facts.asked == [1, 20]
    assert answers == [Accepted(7)] * 21


async def test_a_node_that_stops_answers_those_who_wait_for_facts(autojump_clock):
    answers: list[Any] = []
    calls = lifecycle(Facts())
    with trio.move_on_after(0.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(calls.run)
            submit(calls, answers)
            await trio.sleep(0.1)
            submit(calls, answers, 2)
            await trio.sleep_forever()
    assert [isinstance(answer, Refused) and answer.code for answer in answers] == ["node_stopping"] * 3


async def test_the_queue_is_bounded(autojump_clock):
    answers: list[Any] = []
    submit(lifecycle(Facts()), answers, SETTINGS.actors.mailbox_limit + 1)
    assert [answer.code for answer in answers] == ["overloaded"]
