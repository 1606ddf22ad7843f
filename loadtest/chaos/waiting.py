"""Waiting for what tells nobody when it becomes true; whoever waits sets the deadline."""

from collections.abc import Awaitable, Callable

import trio

from loadtest.chaos.limits import POLL_S


async def until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110
        await trio.sleep(POLL_S)


async def until_answered(ask: Callable[[], Awaitable[bool]]) -> None:
    while not await ask():  # noqa: ASYNC110
        await trio.sleep(POLL_S)
