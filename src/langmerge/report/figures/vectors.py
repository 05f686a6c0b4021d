"""Language vectors: cosines as a heat map, clusters as a dendrogram, layers as a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from langmerge.report.document import Figure
from langmerge.report.drawing import (
    WIDTH,
    Box,
    Drawing,
    Item,
    Line,
    Marker,
    Point,
    Scale,
    Style,
    Text,
    shortened,
    text_width,
)
from langmerge.report.figures.plane import FLOOR, HEIGHT, LEFT, TOP, frame

if TYPE_CHECKING:
    from langmerge.analysis import Analysis

_STRONGEST = 0.55
"""Of a cell of cosine 1: numbers on it stay readable in both themes."""

_LARGEST_CELL = 52.0
_MOST_NUMBERS = 10
"""Languages up to which cells are wide enough for numbers."""


def heat_map(task: str, analysis: Analysis) -> Figure:
    """Return the cosines of every two adapters, alike ones side by side."""
    order = analysis.leaf_order
    labels = [analysis.names[i] for i in order]
    left = min(text_width(labels), 90.0) + 10
    cell = min(_LARGEST_CELL, (WIDTH - left) / len(labels))
    top = 46.0
    items: list[Item] = [Text(0, 16, "Cosines", size=13, bold=True)]
    for row, i in enumerate(order):
        y = top + row * cell
        items.append(Text(left - 8, y + cell / 2 + 4, shortened(labels[row], left - 10), "end"))
        room = shortened(labels[row], cell + 6, 11)
        items.append(Text(left + (row + 0.5) * cell, top - 8, room, "middle", "ink", 11))
        for column, j in enumerate(order):
            items.extend(_cell(analysis, (i, j), (left + column * cell, y), cell))
    pairs = [
        f"{labels[r]} and {labels[c]} {_cosine(analysis, order[r], order[c])}"
        for r in range(len(order))
        for c in range(r + 1, len(order))
    ]
    return Figure(
        f"vectors-{task}-cosines", f"{task}: cosines of the languages' task vectors",
        "; ".join(pairs) + ".", Drawing(WIDTH, top + cell * len(order) + 6, tuple(items)),
    )  # fmt: skip


def _cell(analysis: Analysis, pair: tuple[int, int], place: Point, size: float) -> list[Item]:
    (i, j), (x, y) = pair, place
    value = analysis.whole.cosines[i][j]
    title = f"{analysis.names[i]}, {analysis.names[j]}: {_cosine(analysis, i, j)}"
    style: Style = "merged" if value is None or value >= 0 else "combined"
    strength = 0.04 + _STRONGEST * abs(value or 0.0)
    items: list[Item] = [Box(x + 1, y + 1, size - 2, size - 2, style, strength, title)]
    if len(analysis.names) <= _MOST_NUMBERS:
        text = "1" if i == j else _cosine(analysis, i, j)
        items.append(Text(x + size / 2, y + size / 2 + 4, text, "middle", "ink", 11))
    return items


def _cosine(analysis: Analysis, i: int, j: int) -> str:
    value = analysis.whole.cosines[i][j]
    return "–" if value is None else f"{value + 0.0:.2f}".replace("-", "−")


def dendrogram(task: str, analysis: Analysis) -> Figure:
    """Return the clusters of languages; where branches meet is the mean cosine between them."""
    n = len(analysis.names)
    order = analysis.leaf_order
    left = min(text_width(analysis.names), 90.0) + 10
    row, top = 26.0, 34.0
    height = top + row * n + 40
    lows = [1 - join.distance for join in analysis.joins]
    x = Scale.around([1.0, *lows], WIDTH - 12, left)
    x = Scale(x.low, max(1.0, x.high), left, WIDTH - 12, x.ticks)
    x = Scale(x.high, x.low, left, WIDTH - 12, x.ticks)
    items: list[Item] = [Text(0, 16, "Clusters", size=13, bold=True)]
    floor = top + row * n
    for tick in x.ticks:
        items.append(Line(((x(tick), top - 4), (x(tick), floor)), "grid"))
        items.append(Text(x(tick), floor + 16, f"{tick:.2g}", "middle", "muted", 11))
    items.append(Text((left + WIDTH) / 2, height - 6, "mean cosine", "middle", "muted", 11))
    ends: dict[int, Point] = {}
    for position, i in enumerate(order):
        y = top + row * (position + 0.5)
        ends[i] = (left, y)
        label = shortened(analysis.names[i], left - 10)
        items.append(Text(left - 8, y + 4, label, "end"))
    said = []
    for t, join in enumerate(analysis.joins):
        (x1, y1), (x2, y2) = ends[join.left], ends[join.right]
        meet = x(1 - join.distance)
        items.append(Line(((x1, y1), (meet, y1), (meet, y2), (x2, y2)), "merged", 1.5))
        ends[n + t] = (meet, (y1 + y2) / 2)
        members = ", ".join(_members(analysis, n + t))
        said.append(f"{members} at {1 - join.distance:.2f}")
    return Figure(
        f"vectors-{task}-clusters", f"{task}: clusters of the languages' task vectors",
        "; ".join(said) + ".", Drawing(WIDTH, height, tuple(items)),
    )  # fmt: skip


def _members(analysis: Analysis, cluster: int) -> list[str]:
    n = len(analysis.names)
    if cluster < n:
        return [analysis.names[cluster]]
    join = analysis.joins[cluster - n]
    return _members(analysis, join.left) + _members(analysis, join.right)


def layers(task: str, analysis: Analysis) -> Figure | None:
    """Return the mean and range of the pairs' cosines, layer by layer; None without layers."""
    found: list[tuple[str, list[float]]] = []
    for name, similarity in analysis.layers.items():
        values = [
            value
            for i, row in enumerate(similarity.cosines)
            for value in row[i + 1 :]
            if value is not None
        ]
        if values:
            found.append((_number_of(name), values))
    if not found:
        return None
    right = WIDTH - 12
    places = [float(index) for index in range(len(found))]
    span = Scale(-0.5, len(found) - 0.5, LEFT, right)
    every = max(1, -(-len(found) // 10))
    ticks = places[::every]
    x = Scale(span.low, span.high, LEFT, right, tuple(ticks))
    y = Scale.around([value for _, values in found for value in values], FLOOR, TOP, zero=True)
    texts = [found[int(tick)][0] for tick in ticks]
    items: list[Item] = [*frame("Cosines by layer", "layer", x, y, texts)]
    for place, (name, values) in zip(places, found, strict=True):
        items.append(Line(((x(place), y(min(values))), (x(place), y(max(values)))), "merged", 1.5))
        about = f"layer {name}: mean {fmean(values):.2f}, {min(values):.2f} to {max(values):.2f}"
        items.append(Marker(x(place), y(fmean(values)), "circle", "merged", about, 3.5))
    return Figure(
        f"vectors-{task}-layers", f"{task}: cosines by layer, mean and range over pairs",
        _layer_words(found), Drawing(WIDTH, HEIGHT, tuple(items)),
    )  # fmt: skip


def _layer_words(found: Sequence[tuple[str, list[float]]]) -> str:
    means = {name: fmean(values) for name, values in found}
    least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return (
        f"Mean cosine over pairs in {len(found)} layers: from {means[least]:.2f} in layer {least} "
        f"to {means[most]:.2f} in layer {most}."
    )


def _number_of(layer: str) -> str:
    numbers = re.findall(r"\d+", layer)
    return numbers[-1] if numbers else layer
