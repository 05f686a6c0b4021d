"""Drawings as SVG in the page: no script, colours from the style sheet, text escaped."""

from __future__ import annotations

from functools import singledispatch

from markupsafe import Markup

from langmerge.report.document import Figure
from langmerge.report.drawing import Box, Item, Line, Marker, Point, Text


def svg(figure: Figure) -> Markup:
    """Return a figure as an `svg` element that says its content in words to screen readers."""
    drawing = figure.drawing
    label = f"figure-{figure.name}"
    items = Markup("").join(_item(item) for item in drawing.items)
    return Markup(
        '<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{label}-title '
        '{label}-text"><title id="{label}-title">{title}</title>'
        '<desc id="{label}-text">{description}</desc>{items}</svg>'
    ).format(
        width=drawing.width,
        height=drawing.height,
        label=label,
        title=figure.title,
        description=figure.description,
        items=items,
    )


def outline(marker: Marker) -> tuple[Point, ...]:
    """Return the corners of a marker that is no circle, of about a circle's area."""
    x, y, r = marker.x, marker.y, marker.size
    if marker.shape == "square":
        s = 0.9 * r
        return (x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)
    if marker.shape == "diamond":
        s = 1.25 * r
        return (x, y - s), (x + s, y), (x, y + s), (x - s, y)
    s = 1.2 * r if marker.shape == "triangle" else -1.2 * r
    return (x, y - s), (x + s, y + 0.8 * s), (x - s, y + 0.8 * s)


@singledispatch
def _item(item: Item) -> Markup:
    raise TypeError(f"no mark of a drawing: {item!r}")


@_item.register
def _(item: Line) -> Markup:
    return Markup('<polyline class="line {}" points="{}" stroke-width="{:g}"{}/>').format(
        item.style,
        _points(item.points),
        item.width,
        Markup(' stroke-dasharray="3 3"') if item.dashed else "",
    )


@_item.register
def _(item: Box) -> Markup:
    return Markup(
        '<rect class="fill {}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{:.3g}">{}</rect>'
    ).format(
        item.style,
        *map(_number, (item.x, item.y, item.width, item.height)),
        item.strength,
        _title(item.title),
    )


@_item.register
def _(item: Marker) -> Markup:
    if item.shape in ("circle", "ring"):
        return Markup('<circle class="{} {}" cx="{}" cy="{}" r="{:g}">{}</circle>').format(
            "ring" if item.shape == "ring" else "fill",
            item.style,
            _number(item.x),
            _number(item.y),
            item.size,
            _title(item.title),
        )
    return Markup('<polygon class="fill {}" points="{}">{}</polygon>').format(
        item.style, _points(outline(item)), _title(item.title)
    )


@_item.register
def _(item: Text) -> Markup:
    return Markup(
        '<text class="text {}{}" x="{}" y="{}" text-anchor="{}" font-size="{:g}">{}</text>'
    ).format(
        item.style,
        " bold" if item.bold else "",
        _number(item.x),
        _number(item.y),
        item.anchor,
        item.size,
        item.text,
    )


def _title(text: str) -> Markup:
    return Markup("<title>{}</title>").format(text) if text else Markup("")


def _points(points: tuple[Point, ...]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
