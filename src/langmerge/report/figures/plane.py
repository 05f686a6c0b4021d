"""What plots over two axes share: the frame, and points named at the right edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from langmerge.report.document import Estimate
from langmerge.report.drawing import (
    WIDTH,
    Item,
    Line,
    Marker,
    Scale,
    Style,
    Text,
    apart,
    shortened,
    tick_text,
)

HEIGHT = 250.0
TOP = 34.0
FLOOR = HEIGHT - 40.0
LEFT = 34.0
NAMES = 118.0
"""Room for names at the right edge."""

_LINE = 14.0


class Named(NamedTuple):
    """A point's or line's end that is to be named."""

    name: str
    x: float
    y: float
    bold: bool = False


def frame(
    title: str, x_title: str, x: Scale, y: Scale, x_texts: Sequence[str] = ()
) -> Iterator[Item]:
    """Yield title, grid and axes.

    Args:
        title: above the plot.
        x_title: below it.
        x: the horizontal scale.
        y: the vertical scale.
        x_texts: labels of the ticks of x, where numbers will not do.
    """
    yield Text(0, 16, title, size=13, bold=True)
    for tick in y.ticks:
        place = y(tick)
        yield Line(((x.start, place), (x.end, place)), "grid")
        yield Text(x.start - 8, place + 4, tick_text(tick, y.ticks), "end", "muted", 11)
    yield Line(((x.start, FLOOR), (x.end, FLOOR)), "muted")
    texts = x_texts or [tick_text(tick, x.ticks) for tick in x.ticks]
    for tick, text in zip(x.ticks, texts, strict=True):
        place = x(tick)
        yield Line(((place, FLOOR), (place, FLOOR + 4)), "muted")
        yield Text(place, FLOOR + 17, text, "middle", "muted", 11)
    yield Text((x.start + x.end) / 2, HEIGHT - 6, x_title, "middle", "muted", 11)


def bars(found: Estimate, x: float, y: Scale, style: Style) -> Iterator[Item]:
    """Yield a point's interval, if it has one."""
    if found.low is not None and found.high is not None:
        yield Line(((x, y(found.low)), (x, y(found.high))), style, 1.5)


def names(points: Sequence[Named], edge: float) -> Iterator[Item]:
    """Yield names right of `edge`, apart from each other, with thin lines to what they name."""
    places = apart([point.y for point in points], _LINE, TOP, FLOOR)
    for point, place in zip(points, places, strict=True):
        if edge - point.x > 8 or abs(place - point.y) > 3:
            yield Line(((point.x + 6, point.y), (edge - 4, place), (edge + 2, place)), "grid")
        text = shortened(point.name, WIDTH - edge - 4, 11)
        yield Text(edge + 4, place + 4, text, "start", "ink", 11, point.bold)


__all__ = ["FLOOR", "HEIGHT", "LEFT", "NAMES", "TOP", "Marker", "Named", "bars", "frame", "names"]
