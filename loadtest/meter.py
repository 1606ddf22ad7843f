"""Counts and latencies while the load test runs; what the live line and the report are made of."""

import time
from array import array
from collections import Counter
from typing import Final

import trio
from attrs import Factory, define

from loadtest.limits import LAG_PROBE_S

ENTRIES: Final = frozenset({"battle:join", "battle:begin"})


@define
class Meter:
    phase: str = "starting"
    started_at: float = Factory(time.monotonic)
    commands: int = 0
    """Answered ones."""
    deliveries: int = 0
    reconnects: int = 0
    closings: Counter[str] = Factory(Counter)
    """Why connections ended that were not given up by the tool."""
    unanswered: int = 0
    battles_running: int = 0
    battles_finished: int = 0
    prepared: int = 0
    to_prepare: int = 0
    refusals: Counter[str] = Factory(Counter)
    latencies_ms: "array[float]" = Factory(lambda: array("d"))
    """From when an action was due, sent late or not, to its answer."""
    local_ms: "array[float]" = Factory(lambda: array("d"))
    """Those of players on the node of their battle."""
    crossing_ms: "array[float]" = Factory(lambda: array("d"))
    """Those of players on another node."""
    entries_ms: "array[float]" = Factory(lambda: array("d"))
    """The same for what begins a battle: joins and begins. All battles begin at once, so these queue up."""
    lags_s: "array[float]" = Factory(lambda: array("d"))
    """How late the tool's own event loop was, whenever it was asked."""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started_at

    def answered(self, event: str, due_at: float, *, crossing: bool) -> None:
        self.commands += 1
        took_ms = (trio.current_time() - due_at) * 1000
        if event in ENTRIES:
            self.entries_ms.append(took_ms)
        else:
            self.latencies_ms.append(took_ms)
            (self.crossing_ms if crossing else self.local_ms).append(took_ms)

    async def probe_lag(self) -> None:
        while True:
            due_at = trio.current_time() + LAG_PROBE_S
            await trio.sleep_until(due_at)
            self.lags_s.append(trio.current_time() - due_at)


@define
class Mark:
    """The counters at one moment; two of them enclose a span."""

    at: float
    cpu_s: float
    commands: int
    deliveries: int
    latencies: int
    local: int
    crossing: int
    lags: int

    @classmethod
    def of(cls, meter: Meter) -> "Mark":
        return cls(
            time.monotonic(),
            time.process_time(),
            meter.commands,
            meter.deliveries,
            len(meter.latencies_ms),
            len(meter.local_ms),
            len(meter.crossing_ms),
            len(meter.lags_s),
        )


def quantile(values: "array[float]", share: float) -> float:
    """Of sorted values; 0 if there are none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def in_order(values: "array[float]", start: int, end: int | None = None) -> "array[float]":
    return array("d", sorted(values[start:end]))
