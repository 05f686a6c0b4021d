"""Drawings: marks at places, in a style named by what it means.

A figure is built once, as a drawing; `svg` draws it into the page, where the style sheet gives the
styles their colours in both themes, and `images` draws it with matplotlib for papers. Lengths are
CSS pixels, y runs downwards. Everything is readable without colour: shapes differ, lines and
points have their names beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Style = Literal["ink", "muted", "grid", "merged", "combined", "individual", "single", "base"]
"""`ink` and `muted` are text and axes; the others are kinds of models, or of work."""

Shape = Literal["circle", "ring", "square", "diamond", "triangle", "down"]
Anchor = Literal["start", "middle", "end"]

WIDTH = 360.0
"""Of a panel: it fits a phone, and three stand side by side on a desk."""

_CHARACTER = 6.3
"""Mean width of a character at the size of labels, for room to leave."""

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[Point, ...]
    style: Style
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Marker:
    """A data point; `title` is what a pointer over it shows."""

    x: float
    y: float
    shape: Shape
    style: Style
    title: str = ""
    size: float = 4.5


@dataclass(frozen=True)
class Box:
    """A filled rectangle; `strength`, 0 to 1, is how much of its colour is laid on the page."""

    x: float
    y: float
    width: float
    height: float
    style: Style
    strength: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A line of text, its baseline at y."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    style: Style = "ink"
    size: float = 12.0
    bold: bool = False


Item: TypeAlias = Line | Marker | Box | Text


@dataclass(frozen=True)
class Drawing:
    """Marks on a surface, later ones on top."""

    width: float
    height: float
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Scale:
    """A linear map of data to a place, with round numbers for its ticks.

    Attributes:
        low: datum at `start`.
        high: datum at `end`.
        start: place of `low`.
        end: place of `high`.
        ticks: round numbers between them.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...] = field(default=())

    @classmethod
    def around(
        cls,
        values: Iterable[float],
        start: float,
        end: float,
        *,
        zero: bool = False,
        ticks: int = 4,
    ) -> Scale:
        """Return a scale that holds all values, its ends at round numbers.

        Args:
            values: what it must hold; nothing gives 0 to 1.
            start: place of the least.
            end: place of the greatest.
            zero: whether it also holds 0.
            ticks: about how many ticks.
        """
        numbers = [*values, *([0.0] if zero else [])] or [0.0, 1.0]
        low, high = min(numbers), max(numbers)
        if high - low < 1e-9:
            low, high = (low - 0.5, high + 0.5) if not zero or low < 0 else (low, low + 1.0)
        step = round_step((high - low) / ticks)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        marks = tuple(number * step for number in range(first, last + 1))
        return cls(marks[0], marks[-1], start, end, marks)

    def __call__(self, value: float) -> float:
        """Return the place of a datum."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is no less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def text_width(texts: Iterable[str], size: float = 12.0) -> float:
    """Return about how much room the widest of some texts takes."""
    return max((sum(map(_columns, text)) for text in texts), default=0) * _CHARACTER * size / 12


def shortened(text: str, width: float, size: float = 12.0) -> str:
    """Return a text that fits a width, cut and ended by an ellipsis if it must be."""
    if text_width([text], size) <= width:
        return text
    cut = text
    while cut and text_width([f"{cut}…"], size) > width:
        cut = cut[:-1]
    return f"{cut}…"


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places moved as little as needed to stand `gap` apart, in their order.

    Args:
        places: the wanted places, in any order.
        gap: least distance.
        low: the least place allowed; given up where there is no room.
        high: the greatest place allowed.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    lowest = low
    for index in order:
        moved[index] = max(places[index], lowest)
        lowest = moved[index] + gap
    highest = high
    for index in reversed(order):
        moved[index] = min(moved[index], highest)
        highest = moved[index] - gap
    return moved


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """Return a tick's label with the decimals its neighbours need."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:.{decimals}f}".replace("-", "−")


def _columns(character: str) -> float:
    """Return a character's width: those of Chinese, Japanese and Korean are about twice as wide."""
    return 1.9 if ord(character) >= 0x2E80 else 1.0
