"""Curves beside each other as an SVG, on one scale that begins at 0: flat lines are to look flat."""

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

WIDTH: Final = 260
HEIGHT: Final = 170
MARGIN: Final = 40
HEAD: Final = 24
STYLE: Final = (
    "text{font:12px sans-serif;fill:#777}.line{fill:none;stroke:#2a7ab9;stroke-width:2}.dot{fill:#2a7ab9}"
    ".axis{stroke:#999;stroke-width:1}"
)


@frozen
class Curve:
    """Its points stand side by side at the same distance, each with a label."""

    title: str
    labels: Sequence[str]
    values: Sequence[float]


def plot(title: str, curves: Sequence[Curve]) -> str:
    most = max(value for curve in curves for value in curve.values)
    width, height = MARGIN + len(curves) * (WIDTH + MARGIN), HEAD + HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
        _text(MARGIN, HEAD - 6, title, "start"),
    ]
    for place, curve in enumerate(curves):
        parts += _panel(curve, MARGIN + place * (WIDTH + MARGIN), most)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(curve: Curve, left: int, most: float) -> Iterator[str]:
    bottom = HEAD + MARGIN + HEIGHT - 20
    step = WIDTH / len(curve.values)
    points = [
        (left + step * (place + 0.5), bottom - value / most * (HEIGHT - 20)) for place, value in enumerate(curve.values)
    ]
    yield f'<line class="axis" x1="{left}" y1="{bottom}" x2="{left + WIDTH}" y2="{bottom}"/>'
    yield f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
    for (x, y), label, value in zip(points, curve.labels, curve.values, strict=True):
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        yield _text(x, y - 9, f"{value:.2f}")
        yield _text(x, bottom + 16, label)
    yield _text(left + WIDTH / 2, bottom + 34, curve.title)


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
