"""What is wrong with the machine of a node itself.

node.gate.close(), node.gate.open()    it hangs: nothing goes in or out
node.wall.wrong_by_ms = 5_000          its clock was set
"""

import trio
from attrs import Factory, define

from tests.actors.node import T0


@define
class Gate:
    """Closed while the process hangs."""

    _opened: trio.Event = Factory(trio.Event)
    closed: bool = False

    def close(self) -> None:
        self.closed, self._opened = True, trio.Event()

    def open(self) -> None:
        self.closed = False
        self._opened.set()

    async def passed(self) -> None:
        """Goes on at once while it is open."""
        while self.closed:
            await self._opened.wait()


@define
class WallClock:
    """A machine's, which is wrong by `wrong_by_ms`."""

    wrong_by_ms: int = 0

    def __call__(self) -> int:
        return T0 + round(trio.current_time() * 1000) + self.wrong_by_ms
