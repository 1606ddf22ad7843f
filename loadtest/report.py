"""The report: what was reached, how long answers took, what was refused, whether the tool was the limit; the proof."""

from array import array
from typing import Final

from attrs import frozen

from loadtest.limits import CPU_SHARE_LIMIT, LAG_LIMIT_S
from loadtest.meter import Mark, Meter, in_order, quantile
from loadtest.proof import Verdict
from loadtest.seating import LEAST_SHARE, Seating

FAULTS_SHOWN: Final = 10
CLOSINGS_SHOWN: Final = 3


@frozen
class Span:
    """What happened between two marks."""

    seconds: float
    commands_per_s: float
    deliveries_per_s: float
    cpu_share: float
    lag_p99_s: float

    @classmethod
    def between(cls, meter: Meter, begun: Mark, ended: Mark) -> "Span":
        seconds = ended.at - begun.at
        return cls(
            seconds,
            (ended.commands - begun.commands) / seconds,
            (ended.deliveries - begun.deliveries) / seconds,
            (ended.cpu_s - begun.cpu_s) / seconds,
            quantile(in_order(meter.lags_s, begun.lags, ended.lags), 0.99),
        )

    @property
    def tool_was_the_limit(self) -> bool:
        return self.cpu_share > CPU_SHARE_LIMIT or self.lag_p99_s > LAG_LIMIT_S


def load_report(meter: Meter, begun: Mark, ended: Mark) -> str:
    span = Span.between(meter, begun, ended)
    latencies = in_order(meter.latencies_ms, begun.latencies, ended.latencies)
    entries = in_order(meter.entries_ms, 0)
    refused = ", ".join(f"{code} {count:,}" for code, count in meter.refusals.most_common()) or "none"
    limit = "YES: the latencies say little about the server" if span.tool_was_the_limit else "no"
    lag_ms = span.lag_p99_s * 1000
    return "\n".join(
        (
            "",
            f"over {span.seconds:.0f} s",
            f"  commands/s      {span.commands_per_s:,.0f}",
            f"  deliveries/s    {span.deliveries_per_s:,.0f}",
            f"  latency, ms     {_figures(latencies)}   (of actions, from when they were due)",
            f"    local         {_figures(in_order(meter.local_ms, begun.local, ended.local))}",
            f"    crossing      {_figures(in_order(meter.crossing_ms, begun.crossing, ended.crossing))}",
            f"  joining, ms     {_figures(entries)}   (joins and begins, most of them all at once)",
            f"  battles         {meter.battles_finished:,} fought to the finish",
            f"  refusals        {refused}",
            f"  reconnects      {meter.reconnects:,}{_closings(meter)}; commands never answered: {meter.unanswered:,}",
            f"  tool the limit  {limit} (CPU {span.cpu_share:.0%} of a core, loop late by {lag_ms:.0f} ms p99)",
        )
    )


def _closings(meter: Meter) -> str:
    """The most frequent reasons."""
    reasons = meter.closings.most_common(CLOSINGS_SHOWN)
    return f" (closed: {', '.join(f'{reason}: {count:,}' for reason, count in reasons)})" if reasons else ""


def spread_report(seating: Seating) -> str:
    """Which nodes there were, and how much of the play crossed between them."""
    lines = ["", f"nodes: {len(seating.urls)}"]
    for url in sorted(seating.urls):
        name, players, battles = seating.names.get(url, "?"), seating.seated[url], seating.battles[url]
        lines.append(f"  {name:<15} {players:,} players, {battles:,} battles owned   {url}")
    spread = seating.verdict()
    lines.append(
        f"  {spread.share:.1%} of the players sat on another node than their battle "
        f"({spread.crossing:,} of {spread.seats:,} seats in {seating.battles.total():,} battles)"
    )
    if spread.displaced:
        lines.append(f"  {spread.displaced:,} seats were displaced to the battle's node by lost connections")
    if spread.too_small:
        lines.append(f"  FAILED: with {spread.nodes} nodes it has to be {LEAST_SHARE:.0%} or more")
    return "\n".join(lines)


def _figures(sorted_ms: "array[float]") -> str:
    figures = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    return "   ".join(f"{name} {quantile(sorted_ms, share):7,.1f}" for name, share in figures)


def proof_report(verdict: Verdict) -> str:
    compared = (
        f"{verdict.deliveries:,} deliveries in {verdict.streams:,} streams, {verdict.commands:,} acknowledged "
        f"commands, {verdict.battles:,} battles, {verdict.finished:,} of them finished"
    )
    lines = ["", f"proof: {compared}, held against the journal"]
    if verdict.restarts:
        lines.append(f"  {verdict.restarts:,} streams were told to start again from a snapshot")
    if not verdict.faults:
        return "\n".join([*lines, "  nothing was lost, doubled, altered or out of order"])
    lines += [f"  {kind}: {count:,}" for kind, count in sorted(verdict.by_kind.items())]
    lines += [f"    {fault.kind}: {fault.where}" for fault in verdict.faults[:FAULTS_SHOWN]]
    return "\n".join(lines)
