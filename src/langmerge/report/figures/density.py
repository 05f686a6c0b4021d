"""Quality over density, for recipes of one method that differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from langmerge.report.document import Estimate, Figure
from langmerge.report.drawing import WIDTH, Drawing, Item, Line, Scale
from langmerge.report.figures.models import marker, style_of
from langmerge.report.figures.plane import (
    FLOOR,
    HEIGHT,
    LEFT,
    NAMES,
    TOP,
    Named,
    bars,
    frame,
    names,
)


def curve(
    name: str,
    title: str,
    points: Mapping[float, tuple[str, Estimate]],
    references: Mapping[str, Estimate],
    *,
    subject: str,
) -> Figure:
    """Return the curve of one method.

    Args:
        name: of the figure.
        title: task and method.
        points: the model and its mean over languages, by density.
        references: means of models to compare with, drawn as level lines.
        subject: the model the report is about.
    """
    everything = [found for _, found in points.values()] + list(references.values())
    bounds = [x for found in everything for x in (found.low, found.value, found.high)]
    x = Scale.around(points, LEFT, WIDTH - NAMES, zero=True)
    y = Scale.around([bound for bound in bounds if bound is not None], FLOOR, TOP)
    items: list[Item] = [*frame(title, "density", x, y)]
    named = []
    for model, found in references.items():
        if found.value is not None:
            level = y(found.value)
            items.append(
                Line(((x.start, level), (x.end, level)), style_of(model), 1.5, dashed=True)
            )
            named.append(Named(model, x.end, level))
    path = tuple(
        (x(d), y(found.value))
        for d, (_, found) in sorted(points.items())
        if found.value is not None
    )
    items.append(Line(path, "merged", 1.5))
    for density, (model, found) in sorted(points.items()):
        if found.value is not None:
            items.extend(bars(found, x(density), y, "merged"))
            title = f"{model}, density {density:g}: {found.text} {found.interval}"
            items.append(marker(model, subject, x(density), y(found.value), title))
    if path:
        named.append(Named("by density", *path[-1], bold=True))
    items.extend(names(named, WIDTH - NAMES + 10))
    said = [
        f"density {d:g}: {found.text} ({found.interval})"
        for d, (_, found) in sorted(points.items())
    ]
    said += [f"{model}: {found.text}" for model, found in references.items()]
    return Figure(
        name, f"{title}: mean over languages by density", "; ".join(said) + ".",
        Drawing(WIDTH, HEIGHT, tuple(items)),
    )  # fmt: skip
