"""One event to a thousand connections, beside a loop in C that does nothing but send (sendlimit.c)."""

from collections.abc import Sequence
from typing import Final

from attrs import define, evolve

from gameserver.errors import StartError
from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.loads import Load, Seat
from loadtest.bench.measure import Values
from loadtest.bench.scenario import Column, Figure, Scenario, Side, ratio
from loadtest.bench.send_limit import send_limit
from loadtest.bench.servers import OurNode
from loadtest.bench.sides import OURS, our_run

CONNECTIONS: Final = 1_000
TWO_SIDES: Final = 2
LIMIT: Final = "`sendlimit` (C)"


@define
class _FanOut:
    """The limit sends frames of the size that ours had in the run before."""

    bench: Bench
    load: Load
    frame_bytes: int = 0

    def ours(self) -> Values:
        """One player attacks, one command at a time; everybody watches. So each event is a send of its own."""
        values = our_run(self.bench, self.load, self._seating)
        self.frame_bytes = round(values["bytes_per_delivery"])
        return {
            **values,
            "frame_bytes": self.frame_bytes,
            "sends_per_s": values["deliveries_per_s"],
            "us_per_send": values["us_per_delivery"],
        }

    def limit(self) -> Values:
        if not self.frame_bytes:
            raise StartError("how large its frames have to be is not known: our run did not count")
        return send_limit(self.bench, self.load, self.frame_bytes)

    def _seating(self, nodes: Sequence[OurNode]) -> list[Seat]:
        player = prepare(self.bench, nodes, 1, TWO_SIDES)[0]
        watchers = self.bench.accounts(CONNECTIONS - 1)
        return [player, *(evolve(player, token=watcher.token) for watcher in watchers)]


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    fan_out = _FanOut(bench, evolve(pace, connections=CONNECTIONS, senders=1, spin=True))
    return Side(OURS, fan_out.ours), Side(LIMIT, fan_out.limit)


FAN_OUT: Final = Scenario(
    name="fan-out",
    title="One event to 1,000 connections",
    work="One player attacks, one command at a time, each committed; all watch, so each event is a send to each.",
    sides=_sides,
    columns=(
        Column("sends/s", "sends_per_s", spread=True),
        Column("CPU per send, µs", "us_per_send", 2),
        Column("bytes per frame", "frame_bytes"),
        Column("p50 ms", "p50_ms", 1),
    ),
    figures=(
        Figure("sends/s beside `sendlimit`", ratio("sends_per_s", OURS, LIMIT), least=0.7),
        Figure("CPU per send: that of `sendlimit` by ours", ratio("us_per_send", LIMIT, OURS), least=0.7),
    ),
    spins=True,
)
