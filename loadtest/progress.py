"""The live line: one that is written over on a terminal, one every few seconds elsewhere."""

import sys
from typing import Final

import trio

from loadtest.meter import Mark, Meter, in_order, quantile

TERMINAL_INTERVAL_S: Final = 1.0
FILE_INTERVAL_S: Final = 5.0


async def show(meter: Meter) -> None:
    """Until cancelled."""
    terminal = sys.stderr.isatty()
    interval_s = TERMINAL_INTERVAL_S if terminal else FILE_INTERVAL_S
    before = Mark.of(meter)
    while True:
        await trio.sleep(interval_s)
        now = Mark.of(meter)
        text = _line(meter, before, now)
        print(f"\r\x1b[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)
        before = now


def end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _line(meter: Meter, before: Mark, now: Mark) -> str:
    head = f"{meter.elapsed_s:4.0f} s  {meter.phase:<11}"
    if meter.phase in ("registering", "grouping"):
        return f"{head} {meter.prepared:,} of {meter.to_prepare:,} requests"
    seconds = now.at - before.at
    p99_ms = quantile(in_order(meter.latencies_ms, before.latencies), 0.99)
    return (
        f"{head} {(now.commands - before.commands) / seconds:6,.0f} commands/s"
        f" {(now.deliveries - before.deliveries) / seconds:8,.0f} deliveries/s  p99 {p99_ms:5.0f} ms"
        f"  battles {meter.battles_running} running, {meter.battles_finished} finished"
        f"  refused {meter.refusals.total()}"
    )
