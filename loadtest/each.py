"""Many at the same time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio


async def each(work: Callable[..., Awaitable[Any]], items: Iterable[tuple[Any, ...]]) -> None:
    """Until the work on every item is done; an item is the arguments."""
    async with trio.open_nursery() as nursery:
        for item in items:
            nursery.start_soon(work, *item)


async def by_workers(work: Callable[[Any], Awaitable[None]], items: Iterable[Any], workers: int) -> None:
    """Until the work on every item is done, on so many at a time: each worker goes on with the next one."""
    waiting = iter(items)

    async def run() -> None:
        for item in waiting:
            await work(item)

    await each(run, [()] * workers)
