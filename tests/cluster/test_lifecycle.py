"""Commands that need facts first: every call gets exactly one reply, also when the facts cannot be had."""

from random import Random
from typing import Any

import pytest
import trio
from attrs import evolve

from gameserver.actors.messages import Message
from gameserver.actors.ports import Accepted, Answer
from gameserver.cluster.lifecycle import Lifecycle, LifecycleCall
from gameserver.cluster.ports import BattleKnown, RateQuestion, Remembered
from gameserver.config import Settings
from gameserver.errors import Refused, StorageUnavailable
from gameserver.ids import IdempotencyKey, Identity, Issuer, PlayerId
from tests.cluster.stage import NobodyElse

SETTINGS = Settings()
ACCEPTED = Accepted(7)
KEY = IdempotencyKey(PlayerId("ann"), "once", "hash")


class Answering:
    """The battle, which answers everything with `answer`, a moment later."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[Any] = []

    def send(self, message: Message) -> None:
        self.commands.append(message.command)
        trio.lowlevel.current_trio_token().run_sync_soon(message.reply, self.answer)


class Facts(NobodyElse):
    """Answers after a second, with what `outcome` says: None for no such battle, an error, or what is remembered.

    Rates take another second.
    """

    def __init__(self, outcome: Any = "known") -> None:
        super().__init__()
        self.outcome = outcome
        self.asked: list[int] = []
        self.taken: list[RateQuestion] = []
        self.given_back: list[RateQuestion] = []

    async def about_battles(self, asked: Any) -> Any:
        self.asked.append(len(asked))
        await trio.sleep(1)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        known = await super().about_battles(asked)
        if isinstance(self.outcome, Remembered):
            return [
                BattleKnown(None, self.outcome) if each.key else facts for each, facts in zip(asked, known, strict=True)
            ]
        return known if self.outcome else [BattleKnown(None)] * len(asked)

    async def take(self, asked: Any) -> list[None]:
        await trio.sleep(1)
        self.taken += asked
        return await super().take(asked)

    async def give_back(self, unused: Any) -> None:
        self.given_back += unused


def lifecycle(facts: Facts, answer: Answer = ACCEPTED) -> Lifecycle:
    router: Any = Answering(answer)
    return Lifecycle(router, facts, facts, SETTINGS.guards, SETTINGS.actors, Issuer(lambda: 0, Random(1)))  # type: ignore[arg-type]


def submit(to: Lifecycle, answers: list[Answer], count: int = 1, identity: Identity | None = None) -> None:
    for _ in range(count):
        to.submit(LifecycleCall("join", "battle-1", "ann", identity, answers.append))


@pytest.mark.parametrize(
    ("outcome", "code"), [(None, "battle_not_found"), (StorageUnavailable("away"), "storage_unavailable")]
)
async def test_without_facts_a_call_is_refused(autojump_clock, nursery, outcome, code):
    answers: list[Any] = []
    nursery.start_soon((calls := lifecycle(Facts(outcome))).run)
    submit(calls, answers)
    await trio.sleep(3)
    assert [answer.code for answer in answers] == [code]


async def test_calls_that_gather_meanwhile_share_one_query(autojump_clock, nursery):
    answers: list[Any] = []
    facts = Facts()
    nursery.start_soon((calls := lifecycle(facts)).run)
    submit(calls, answers)
    await trio.sleep(0.5)
    submit(calls, answers, 20)
    await trio.sleep(5)
    assert facts.asked == [1, 20]
    assert answers == [ACCEPTED] * 21


async def test_a_request_that_was_carried_out_before_is_answered_from_the_table(autojump_clock, nursery):
    answers: list[Any] = []
    facts = Facts(Remembered(KEY.request_hash, "battle-1", 5, b"{}"))
    nursery.start_soon((calls := lifecycle(facts)).run)
    submit(calls, answers, identity=KEY)
    await trio.sleep(3)
    assert answers == [Accepted(5, b"{}")]
    submit(calls, answers, identity=evolve(KEY, request_hash="something else"))
    await trio.sleep(3)
    assert answers[1].code == "idempotency_key_reused"
    assert facts.taken == []


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (ACCEPTED, True),
        (Refused("already_joined"), False),
        (Refused("command_expired"), True),
        (Refused("overloaded"), True),
    ],
)
async def test_only_a_join_that_came_to_nothing_is_given_back(autojump_clock, nursery, answer, counts):
    answers: list[Any] = []
    facts = Facts()
    nursery.start_soon((calls := lifecycle(facts, answer)).run)
    submit(calls, answers)
    await trio.sleep(3)
    assert answers == [answer]
    assert len(facts.taken) == 1
    assert facts.given_back == ([] if counts else facts.taken)


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


async def test_a_node_that_stops_between_facts_and_rates_answers_everybody_once(autojump_clock):
    answers: list[Any] = []
    calls = lifecycle(Facts(Remembered(KEY.request_hash, "battle-1", 5, b"{}")))
    with trio.move_on_after(1.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(calls.run)
            submit(calls, answers, identity=KEY)
            submit(calls, answers)
            await trio.sleep_forever()
    assert answers[0] == Accepted(5, b"{}")
    assert [answer.code for answer in answers[1:]] == ["node_stopping"]


async def test_the_queue_is_bounded(autojump_clock):
    answers: list[Any] = []
    submit(lifecycle(Facts()), answers, SETTINGS.actors.mailbox_limit + 1)
    assert [answer.code for answer in answers] == ["overloaded"]
